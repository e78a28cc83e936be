"""Results: their names and places, and what an answer says of them, with both stores."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest

from framepack.errors import StorageFailed
from framepack.filenames import clean_stem
from framepack.storage.base import Storage
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from framepack.storage.outputs import Outputs, ResultFolder

NOW = datetime(2024, 12, 4, 14, 30, 22, tzinfo=UTC)
NAME = re.compile(r"clip_upscaled_RealESRGAN_x4plus_241204_143022_[0-9][0-9a-z]{5}\.mp4")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A finished file in a job's workspace."""
    path = tmp_path / "encoded.mp4"
    path.write_bytes(b"a video")
    return path


def outputs(storage: Storage, inline_limit_bytes: int = 100) -> Outputs:
    """Outputs that are made at a known time."""
    return Outputs(storage, inline_limit_bytes, clock=lambda: NOW)


def test_a_result_is_stored_under_its_documented_name(storage: Storage, result: Path) -> None:
    """The answer's figures are those of the object in the store, and the workspace's file stays."""
    published = outputs(storage).publish(
        result, folder=ResultFolder.SAVED_VIDEOS, stem="clip", suffix="upscaled_RealESRGAN_x4plus"
    )
    assert NAME.fullmatch(published.filename)
    assert str(published.key) == f"postprocessed_output/saved_videos/{published.filename}"
    assert published.path == f"/outputs/{published.key}"
    assert published.size_bytes == 7
    assert published.sha256 == hashlib.sha256(b"a video").hexdigest()
    assert storage.read(published.key) == b"a video"
    assert result.read_bytes() == b"a video"


@pytest.mark.parametrize(
    ("folder", "place"),
    [
        (ResultFolder.TEMP_PROCESSING, "postprocessed_output/temp_processing"),
        (ResultFolder.SAVED_VIDEOS, "postprocessed_output/saved_videos"),
        (ResultFolder.EXTRACTED_FRAMES, "postprocessed_output/frames/extracted_frames"),
        (ResultFolder.REASSEMBLED_VIDEOS, "postprocessed_output/frames/reassembled_videos"),
    ],
)
def test_every_folder_has_its_documented_name(tmp_path: Path, result: Path, folder: ResultFolder, place: str) -> None:
    """The four folders have the names that clients know."""
    local = LocalStorage(tmp_path / "store")
    published = outputs(local).publish(result, folder=folder, stem="clip", suffix="filtered")
    assert [str(found.key) for found in local.list(Key(place))] == [str(published.key)]


@pytest.mark.parametrize(("limit", "inlined"), [(6, False), (7, True), (0, False)])
def test_small_results_are_inlined(storage: Storage, result: Path, limit: int, inlined: bool) -> None:  # noqa: FBT001
    """Up to the limit the answer also holds the bytes, even when the workspace is gone by then."""
    published = outputs(storage, limit).publish(result, folder=ResultFolder.TEMP_PROCESSING, stem="clip", suffix="x")
    result.unlink()
    if inlined:
        assert published.base64 is not None
        assert b64decode(published.base64) == b"a video"
        assert published.base64 is published.base64
    else:
        assert published.base64 is None
    assert "a video" not in repr(published)


def test_nothing_is_inlined_from_an_empty_file(tmp_path: Path, result: Path) -> None:
    """An empty result is stored but not inlined."""
    result.write_bytes(b"")
    published = outputs(LocalStorage(tmp_path / "store")).publish(
        result, folder=ResultFolder.TEMP_PROCESSING, stem="clip", suffix="x"
    )
    assert (published.size_bytes, published.base64) == (0, None)


def test_results_of_the_same_second_have_different_names(tmp_path: Path, result: Path) -> None:
    """Fifty results of one name and second are fifty objects."""
    local = LocalStorage(tmp_path / "store")
    for _ in range(50):
        outputs(local).publish(result, folder=ResultFolder.TEMP_PROCESSING, stem="clip", suffix="x")
    assert len(list(local.list())) == 50


def test_chained_steps_accumulate_suffixes_only(tmp_path: Path) -> None:
    """The name of one step's result, given to the next, loses its time and id."""
    named = outputs(LocalStorage(tmp_path / "store"))
    first = named.filename("clip", "upscaled_x2", ".mp4")
    second = named.filename(Path(first).stem, "loop_2x", ".mp4")
    assert clean_stem(Path(second).stem) == "clip_upscaled_x2_loop_2x"


@pytest.mark.parametrize(
    ("stem", "suffix", "extension", "pattern"),
    [
        ("../../etc/passwd", "x", ".mp4", r"etc_passwd_x_241204_143022_\w{6}\.mp4"),
        ("", "x", ".MP4", r"untitled_video_x_241204_143022_\w{6}\.mp4"),
        ("日本", "x", ".webm", r"untitled_video_x_241204_143022_\w{6}\.webm"),
        ("a", "speed0,50x", ".gif", r"a_speed0_50x_241204_143022_\w{6}\.gif"),
        ("a", "", "", r"a_processed_241204_143022_\w{6}"),
        ("a", "x", ".m/4", r"a_x_241204_143022_\w{6}"),
        ("a" * 5000, "b" * 5000, ".mp4", r"a{100}_b{100}_241204_143022_\w{6}\.mp4"),
        ('a"\r\nX: 1', "x", ".mp4", r"a_X_ 1_x_241204_143022_\w{6}\.mp4"),
    ],
)
def test_any_source_name_makes_a_good_name(stem: str, suffix: str, extension: str, pattern: str) -> None:
    """What clients send as a name can neither leave the folder nor break a header."""
    name = Outputs(LocalStorage(Path("unused")), 0, clock=lambda: NOW).filename(stem, suffix, extension)
    assert re.fullmatch(pattern, name)
    assert Key(name).name == name


def test_times_are_utc_by_default(tmp_path: Path) -> None:
    """Without a clock of its own the name has the present time."""
    before = f"{datetime.now(UTC):%y%m%d_%H%M%S}"
    name = Outputs(LocalStorage(tmp_path), 0).filename("clip", "x", ".mp4")
    assert before <= name.removeprefix("clip_x_")[:13] <= f"{datetime.now(UTC):%y%m%d_%H%M%S}"


def test_a_failed_upload_publishes_nothing(tmp_path: Path, result: Path) -> None:
    """When the store fails there is no answer to name a result."""
    (tmp_path / "store").write_bytes(b"a file where the folder should be")
    with pytest.raises(StorageFailed):
        outputs(LocalStorage(tmp_path / "store")).publish(
            result, folder=ResultFolder.TEMP_PROCESSING, stem="clip", suffix="x"
        )
