"""The table of models: the documented six, and files that can be told apart and checked."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from framepack.models.weights.catalog import CATALOG, Catalog
from tests.support.weights import published, upscaler_row

_OFFICIAL = {
    "https://github.com/xinntao/Real-ESRGAN/releases/download/v": "BSD-3-Clause",
    "https://github.com/HolyWu/vs-rife/releases/download/model/": "MIT",
    "https://huggingface.co/opencv/face_detection_yunet/resolve/3cc26e7f": "MIT",
    "https://github.com/TencentARC/GFPGAN/releases/download/v": "Apache-2.0, with non-commercial parts of others: "
    "StyleGAN2 (Nvidia), DFDNet (CC-BY-NC-SA-4.0)",
}


def test_documented_models_are_there() -> None:
    """The six upscale models have their documented names and scales."""
    assert {row.name: row.scale for row in CATALOG.group("upscaler")} == {
        "RealESRGAN_x2plus": 2,
        "RealESRGAN_x4plus": 4,
        "RealESRNet_x4plus": 4,
        "RealESR-general-x4v3": 4,
        "RealESRGAN_x4plus_anime_6B": 4,
        "RealESR_AnimeVideo_v3": 4,
    }


def test_one_model_interpolates() -> None:
    """There is exactly one interpolator, RIFE 4.25, in the file that its authors' mirror publishes."""
    [row] = CATALOG.group("interpolator")
    assert (row.name, row.weights[0].filename) == ("RIFE_v4.25", "flownet_v4.25.pkl")
    assert row.weights[0].size_bytes == 24_636_301
    assert row.weights[0].sha256.startswith("6615790efd62")


def test_faces_take_two_models() -> None:
    """One model finds faces and one restores them, in their published files."""
    files = [(row.name, row.weights[0].size_bytes, row.weights[0].sha256[:8]) for row in CATALOG.group("face")]
    assert files == [("YuNet", 232_589, "8f2383e4"), ("GFPGANv1.4", 348_632_874, "e2cd4703")]


def test_only_the_general_model_has_a_companion() -> None:
    """One model is blended from two files, all others are one file."""
    assert {row.name for row in CATALOG.rows if len(row.weights) == 2} == {"RealESR-general-x4v3"}
    assert Counter(len(row.weights) for row in CATALOG.group("upscaler")) == {1: 5, 2: 1}


def test_every_file_is_pinned() -> None:
    """Every file has an official https address, a plausible size, a SHA-256 of its own and a license."""
    files = list(CATALOG.weights())
    assert len({file.sha256 for file in files}) == len(files) == 10
    for file in files:
        assert file.url is not None
        assert file.url.startswith(tuple(_OFFICIAL))
        assert file.url.endswith(f"/{file.filename}")
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert 200_000 < file.size_bytes < 400_000_000
        assert file.license == next(named for place, named in _OFFICIAL.items() if file.url.startswith(place))


def test_mirrors_are_other_addresses() -> None:
    """Each is https and not the official one; most files have one."""
    for file in CATALOG.weights():
        assert len({*file.urls}) == len(file.urls) >= 1
        assert all(url.startswith("https://") for url in file.mirrors)
    assert sum(bool(file.mirrors) for file in CATALOG.weights()) >= 7


def test_every_model_says_what_it_is() -> None:
    """Every row has a description, an architecture and a memory estimate no smaller than its weights."""
    for row in CATALOG.rows:
        assert row.description
        assert row.architecture
        assert row.memory_mb * 1e6 >= row.weights[0].size_bytes


def test_rows_are_found_by_exact_name() -> None:
    """Names are found as they are written, and nothing else is."""
    row = CATALOG.find("RealESR_AnimeVideo_v3")
    assert row is not None
    assert row.weights[0].filename == "realesr-animevideov3.pth"
    assert CATALOG.find("realesr_animevideo_v3") is None


def test_names_must_be_unique() -> None:
    """A table in which a name or a file means two things is refused."""
    row, same_file = upscaler_row(published(b"1")), upscaler_row(published(b"2"), name="other")
    same_name = upscaler_row(published(b"2", "other.pth"))
    for rows in ((row, same_file), (row, same_name)):
        with pytest.raises(ValueError, match="unique"):
            Catalog(rows)
