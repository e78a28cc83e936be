"""The table of models: the documented six, and files that can be told apart and checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from framepack.models.spec import ModelRow, Weights
from framepack.models.weights.catalog import CATALOG, Catalog
from tests.support.weights import DOCUMENTED_SCALES, published, upscaler_row

# Projects whose license was read: how addresses of their files begin, and the license as the catalog puts it.
PUBLISHERS = {
    "https://github.com/xinntao/Real-ESRGAN/releases/download/": "BSD-3-Clause",
    "https://github.com/HolyWu/vs-rife/releases/download/": "MIT",
    "https://huggingface.co/opencv/face_detection_yunet/resolve/": "MIT",
    "https://github.com/TencentARC/GFPGAN/releases/download/": "Apache-2.0, with non-commercial parts of others: "
    "StyleGAN2 (Nvidia), DFDNet (CC-BY-NC-SA-4.0)",
}
ROWS = pytest.mark.parametrize("row", CATALOG.rows, ids=lambda row: row.name)
FILES = pytest.mark.parametrize("file", list(CATALOG.weights()), ids=lambda file: file.filename)


def test_documented_models_are_there() -> None:
    """The six upscale models of the API document have their documented names and scales, whatever else there is."""
    assert {row.name: row.scale for row in CATALOG.group("upscaler")}.items() >= DOCUMENTED_SCALES.items()


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


def test_the_general_model_has_a_companion() -> None:
    """It is blended from two files; only upscalers may have a second one."""
    assert {row.name for row in CATALOG.rows if len(row.weights) == 2} >= {"RealESR-general-x4v3"}
    assert all(len(row.weights) == 1 or (len(row.weights) == 2 and row.group == "upscaler") for row in CATALOG.rows)


@FILES
def test_a_file_is_pinned(file: Weights) -> None:
    """It has an official address that ends in its name, a plausible size and a SHA-256 that no other file has."""
    assert file.url is not None
    assert file.url.startswith("https://")
    assert file.url.endswith(f"/{file.filename}")
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256), "a SHA-256 is 64 hexadecimal digits, in lower case"
    assert len(set(file.sha256)) > 8, "that is no SHA-256 of a file"
    assert [each.filename for each in CATALOG.weights() if each.sha256 == file.sha256] == [file.filename]
    assert 200_000 < file.size_bytes < 400_000_000


@FILES
def test_a_file_has_the_license_of_its_publisher(file: Weights) -> None:
    """The license of each project was read once, by a person."""
    address = str(file.url)
    found = [license_ for begin, license_ in PUBLISHERS.items() if address.startswith(begin)]
    assert found, f"read the license of {address}, then add the project to PUBLISHERS in {Path(__file__).name}"
    assert file.license == found[0]


@ROWS
def test_a_model_has_its_notice(row: ModelRow) -> None:
    """Beside the generated table, THIRD_PARTY_NOTICES.md names the model or its project, with the copyright."""
    notices = (Path(__file__).parents[3] / "THIRD_PARTY_NOTICES.md").read_text()
    prose = re.sub(r"<!-- weights: generated -->.*<!-- /weights -->", "", notices, flags=re.DOTALL)
    project = str(row.weights[0].url).split("/")[4]
    assert project in prose or row.name in prose, f"add the notice of {project} to THIRD_PARTY_NOTICES.md"


@FILES
def test_mirrors_are_other_addresses(file: Weights) -> None:
    """Each is https and not the official one."""
    assert len({*file.urls}) == len(file.urls) >= 1
    assert all(url.startswith("https://") for url in file.mirrors)


def test_most_files_have_a_mirror() -> None:
    """A release that is gone must not stop those who use the default models."""
    assert sum(bool(file.mirrors) for file in CATALOG.weights()) >= 7


@ROWS
def test_a_model_says_what_it_is(row: ModelRow) -> None:
    """It has a description, an architecture, and an estimate of its memory in MB that fits the size of its file."""
    assert row.description
    assert row.architecture
    assert row.weights[0].size_bytes <= row.memory_mb * 1e6 <= 4 * row.weights[0].size_bytes + 1e6


@ROWS
def test_a_scale_is_that_of_the_name(row: ModelRow) -> None:
    """Upscalers enlarge 2, 3 or 4 times, as their name says if it says so (``x4plus``); others keep the size."""
    said = re.search(r"x([2-9])", row.name)
    assert row.scale in ((2, 3, 4) if row.group == "upscaler" else (1,))
    assert row.group != "upscaler" or said is None or row.scale == int(said[1])


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
