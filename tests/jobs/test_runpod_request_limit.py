"""What a job brings inline goes through the store where RunPod would not carry it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from framepack.errors import InvalidSource, TooLarge
from framepack.jobs.backends.runpod import fit_request
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from framepack.storage.uploads import UPLOADS

LARGE = bytes(8_000_000)
INLINE = base64.b64encode(LARGE).decode()
HALF = base64.b64encode(LARGE[:5_000_000]).decode()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """A store that gives links."""
    return LocalStorage(tmp_path / "outputs", lambda key: f"https://store/{key}")


def within_limit(fields: dict[str, Any], storage: LocalStorage | None, tmp_path: Path) -> dict[str, Any]:
    """Make fields fit, with a limit of 10 MB for each file."""
    return fit_request(fields, storage, tmp_path / "temp", 10_000_000)


def test_a_request_within_the_limit_is_unchanged(storage: LocalStorage, tmp_path: Path) -> None:
    """Nothing is uploaded."""
    fields = {"video_base64": HALF, "scale_factor": 2.0}

    assert within_limit(fields, storage, tmp_path) is fields
    assert list(storage.list()) == []


def test_inline_files_over_the_limit_become_urls_of_uploads(storage: LocalStorage, tmp_path: Path) -> None:
    """This holds at any depth. Other fields are unchanged, and no temporary file remains."""
    fields = {"videos": [{"video_base64": HALF}, {"video_url": "https://e.com/v"}, {"video_base64": HALF}], "n": None}

    found = within_limit(fields, storage, tmp_path)

    first, second, third = (video["video_url"] for video in found["videos"])
    assert (second, found["n"]) == ("https://e.com/v", None)
    assert first != third
    for url in (first, third):
        key = Key(url.removeprefix("https://store/"))
        assert key.segments[0] == UPLOADS.text
        assert storage.read(key) == LARGE[:5_000_000]
    assert [path for path in (tmp_path / "temp").rglob("*") if path.is_file()] == []


def test_an_inline_file_over_the_limit_is_refused_without_a_store(tmp_path: Path) -> None:
    """The message suggests using a URL."""
    with pytest.raises(TooLarge, match="use a URL"):
        within_limit({"video_base64": INLINE}, None, tmp_path)


def test_a_long_text_over_the_limit_is_refused(storage: LocalStorage, tmp_path: Path) -> None:
    """Only files can be uploaded instead."""
    with pytest.raises(TooLarge):
        within_limit({"prompt": "x" * 11_000_000}, storage, tmp_path)


def test_an_inline_file_with_invalid_base64_is_refused(storage: LocalStorage, tmp_path: Path) -> None:
    """The error is the client's, and nothing is stored."""
    with pytest.raises(InvalidSource):
        within_limit({"video_base64": INLINE + "!"}, storage, tmp_path)
    assert list(storage.list()) == []
