"""The warning about a store that is lost with its container."""

from __future__ import annotations

from pathlib import Path

import pytest

from framepack.checks import store
from framepack.checks.store import lost_with_container
from framepack.settings import Settings

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is written there


@pytest.fixture
def in_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark of a container."""
    mark = tmp_path / "mark"
    mark.touch()
    monkeypatch.setattr(store, "_CONTAINER_MARKS", (mark,))


@pytest.mark.usefixtures("in_container")
def test_a_store_on_the_containers_own_file_system_is_warned_about() -> None:
    """Also if its folder does not exist yet."""
    sentence = lost_with_container(Settings(storage="file:/no/such/folder"))
    assert sentence is not None
    assert "callbacks that are not delivered yet, are lost with it" in sentence


@pytest.mark.usefixtures("in_container")
@pytest.mark.skipif(not SHARED_MEMORY.is_mount(), reason="needs a file system besides the root")
def test_a_store_on_another_file_system_or_in_a_bucket_is_not_warned_about() -> None:
    """They outlive the container."""
    assert lost_with_container(Settings(storage=f"file:{SHARED_MEMORY}/outputs")) is None
    assert lost_with_container(Settings(storage="s3://bucket")) is None


def test_outside_of_a_container_nothing_is_warned_about(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of the machine is as durable as the machine."""
    monkeypatch.setattr(store, "_CONTAINER_MARKS", (tmp_path / "missing",))
    assert lost_with_container(Settings(storage="file:/no/such/folder")) is None
