"""Listing and fetching all weights of a deployment by name."""

from pathlib import Path
from typing import Any

import pytest

from framepack.errors import InvalidField
from framepack.models.weights.language_catalog import REPOSITORIES
from framepack.models.weights.provision import fetch_weights, list_weights
from framepack.settings import Settings
from tests.support.tiny_language import granite


def _settings(tmp_path: Path, **chosen: Any) -> Settings:
    return Settings(
        weights_dir=tmp_path / "weights", weights_download=False, hub_cache_dir=tmp_path / "volume", **chosen
    )


def _lines(tmp_path: Path, *wanted: str) -> list[str]:
    """The lines on each model; none can be fetched, and the last line says once what to do."""
    lines: list[str] = []
    assert not fetch_weights(wanted, _settings(tmp_path), lines.append)
    assert lines.pop() == (
        f"Put what is missing into {tmp_path / 'weights'}, or try again where its address can be reached."
    )
    return lines


def test_repositories_are_listed_with_their_revision(tmp_path: Path) -> None:
    """Beside the files, with size, license and place."""
    listed = {each.model: each for each in list_weights(_settings(tmp_path))}

    for row in REPOSITORIES:
        line = listed[row.name]
        assert (line.filename, line.size_bytes) == (f"@{row.revision[:12]}", row.size_bytes)
        assert (line.license, line.where) == (row.license, "missing")


def test_a_local_folder_is_listed(tmp_path: Path) -> None:
    """Under its own name."""
    folder = granite(tmp_path / "my-granite")

    listed = {each.model: each for each in list_weights(_settings(tmp_path, enhancer_model=str(folder)))}

    assert (listed["my-granite"].filename, listed["my-granite"].where) == ("(folder)", "folder")


def test_language_models_are_fetched_only_by_name(tmp_path: Path) -> None:
    """By name, by group, or with all others; not by default."""
    names = [row.name for row in REPOSITORIES]

    assert not any(name in line for name in names for line in _lines(tmp_path))
    assert [line.partition(" ")[0] for line in _lines(tmp_path, "captioner")] == [names[1]]
    assert [line.partition(" ")[0] for line in _lines(tmp_path, names[0])] == [names[0]]
    assert all(any(name in line for line in _lines(tmp_path, "all")) for name in (*names, "RealESRGAN_x2plus.pth"))


def test_a_group_name_selects_its_models(tmp_path: Path) -> None:
    """As `upscaler`."""
    lines = _lines(tmp_path, "interpolator")

    assert len(lines) == 1
    assert "flownet_v4.25.pkl" in lines[0]


def test_an_unknown_name_is_rejected(tmp_path: Path) -> None:
    """With the names there are."""
    with pytest.raises(
        InvalidField, match=r"no model called Granite; there are .*ibm-granite/granite-3\.3-2b-instruct"
    ):
        fetch_weights(["Granite"], _settings(tmp_path), print)
