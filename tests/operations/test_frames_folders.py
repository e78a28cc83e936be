"""Listing, fetching, deleting and saving frames: the documented answers, on both stores."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from framepack.storage.frames.folders import folder_key
from tests.operations.conftest import StoreSettings
from tests.support.clips import Spec, make_clip
from tests.support.runs import Bench, bench

FOLDER = "video_extracted_every_1_241204_140000"
ROOT = f"/outputs/postprocessed_output/frames/extracted_frames/{FOLDER}"
OPERATIONS: dict[str, dict[str, Any]] = {
    "list_frames": {},
    "delete_frame_folder": {},
    "get_frame": {"frame": "frame_000000.png"},
    "delete_frame": {"frame": "frame_000000.png"},
    "save_frame": {"frame": "frame_000000.png"},
    "put_frame": {"frame": "frame_000000.png", "image_base64": "AAAA"},
}


@pytest.fixture
def worker(tmp_path: Path, new_store: StoreSettings) -> Bench:
    """A worker whose store has a folder of three frames, made by hand."""
    made = bench(tmp_path, **new_store())
    for position in range(3):
        made.runtime.storage.put_bytes(folder_key(FOLDER) / f"frame_00000{position}.png", b"png %d" % position)
    return made


def objects(worker: Bench) -> dict[str, bytes]:
    """Everything in the store."""
    storage = worker.runtime.storage
    return {str(found.key): storage.read(found.key) for found in storage.list()}


def test_folders_are_listed(worker: Bench) -> None:
    """Sorted, with a message that counts them; none is fine."""
    worker.runtime.storage.put_bytes(folder_key("A folder") / "x.png", b"")
    assert worker.run("list_frame_folders") == {
        "success": True,
        "folders": ["A folder", FOLDER],
        "message": "Found 2 extracted frame folder(s)",
    }
    for folder in ("A folder", FOLDER):
        worker.run("delete_frame_folder", folder=folder)
    assert worker.run("list_frame_folders") == {
        "success": True,
        "folders": [],
        "message": "Found 0 extracted frame folder(s)",
    }


def test_frames_are_listed(worker: Bench) -> None:
    """With paths of the store and their place in the list, also after one was deleted."""
    worker.run("delete_frame", folder=FOLDER, frame="frame_000001.png")
    names = ["frame_000000.png", "frame_000002.png"]
    assert worker.run("list_frames", folder=FOLDER) == {
        "success": True,
        "folder": FOLDER,
        "frames": [
            {"filename": name, "path": f"{ROOT}/{name}", "index": index, "source_index": None}
            for index, name in enumerate(names)
        ],
        "total_count": 2,
        "message": "Found 2 frame(s) in folder",
    }


def test_a_frame_is_given(worker: Bench) -> None:
    """The very bytes, as base64, with what they are and where they lie."""
    answer = worker.run("get_frame", folder=FOLDER, frame="frame_000002.png")
    url = answer.pop("url", None)
    assert answer == {
        "success": True,
        "folder": FOLDER,
        "filename": "frame_000002.png",
        "size": 5,
        "mime_type": "image/png",
        "base64": base64.b64encode(b"png 2").decode(),
        "path": f"{ROOT}/frame_000002.png",
    }
    assert (url is not None) == worker.runtime.settings.storage.startswith("s3:")


@pytest.mark.parametrize(
    ("name", "mime_type"),
    [("a.JPG", "image/jpeg"), ("a.jpeg", "image/jpeg"), ("a.bmp", "image/bmp"), ("a.webp", "image/webp")],
)
def test_each_kind_has_its_type(worker: Bench, name: str, mime_type: str) -> None:
    """The type goes by the extension, in either case."""
    worker.runtime.storage.put_bytes(folder_key(FOLDER) / name, b"image")
    assert worker.run("get_frame", folder=FOLDER, frame=name)["mime_type"] == mime_type


def test_large_frames_are_not_inlined(tmp_path: Path, new_store: StoreSettings) -> None:
    """Above the limit for inline copies there is only the path, and an address where the store has one."""
    worker = bench(tmp_path, **new_store(), inline_limit_mb=0.001)
    for name, size_bytes in (("small.png", 1000), ("large.png", 1001)):
        worker.runtime.storage.put_bytes(folder_key(FOLDER) / name, bytes(size_bytes))
    for operation, field in (("get_frame", "base64"), ("save_frame", "frame_base64")):
        assert field in worker.run(operation, folder=FOLDER, frame="small.png")
        assert field not in worker.run(operation, folder=FOLDER, frame="large.png")


def test_a_frame_is_deleted(worker: Bench) -> None:
    """It alone goes."""
    before = objects(worker)
    assert worker.run("delete_frame", folder=FOLDER, frame="frame_000001.png") == {
        "success": True,
        "folder": FOLDER,
        "frame": "frame_000001.png",
        "message": "Successfully deleted frame 'frame_000001.png'",
    }
    del before[f"{folder_key(FOLDER)}/frame_000001.png"]
    assert objects(worker) == before


def test_a_folder_is_deleted(worker: Bench) -> None:
    """It alone goes, with everything in it."""
    worker.runtime.storage.put_bytes(folder_key(FOLDER + "0") / "a.png", b"")
    worker.runtime.storage.put_bytes(folder_key(FOLDER) / "notes.txt", b"")
    assert worker.run("delete_frame_folder", folder=FOLDER) == {
        "success": True,
        "folder": FOLDER,
        "message": "Successfully deleted folder and all its contents",
    }
    assert objects(worker) == {f"{folder_key(FOLDER)}0/a.png": b""}


def test_a_frame_is_saved(worker: Bench) -> None:
    """Its bytes lie among the saved files under a name that says where it is from; saving again keeps both."""
    answers = [worker.run("save_frame", folder=FOLDER, frame="frame_000002.png") for _ in range(2)]
    saved = {path: data for path, data in objects(worker).items() if "saved_videos" in path}
    assert saved == {answer["saved_path"].removeprefix("/outputs/"): b"png 2" for answer in answers}
    assert len(saved) == 2
    answer = answers[0]
    stem, _, rest = answer["filename"].partition("_extracted_every_1_")
    assert stem == "saved_frame_video"
    assert rest.endswith("_frame_000002.png")
    assert answer["message"] == "Successfully saved frame 'frame_000002.png'"
    assert base64.b64decode(answer["frame_base64"]) == b"png 2"
    assert answer["output_file_size"] == 5
    assert worker.leftovers() == []


def test_a_saved_frame_has_one_time_in_its_name(tmp_path: Path) -> None:
    """The time and id of the folder give way to those of the saving."""
    worker = bench(tmp_path)
    folder = worker.run("extract_frames", make_clip(tmp_path / "clip.mp4", Spec(count=1)))["folder_name"]
    answer = worker.run("save_frame", folder=folder, frame="frame_000000.png")
    assert len(answer["filename"]) == len(f"saved_frame_{folder}_frame_000000.png")
    assert answer["filename"].startswith("saved_frame_video_extracted_every_1_")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_missing_folder_is_named(worker: Bench, operation: str) -> None:
    """404 and the folder's name, whatever was asked for."""
    before = objects(worker)
    answer = worker.run(operation, **{**OPERATIONS[operation], "folder": "no such"})
    assert answer == {"error": "Folder 'no such' not found", "code": "not_found", "status": 404}
    assert objects(worker) == before


@pytest.mark.parametrize("operation", ["get_frame", "delete_frame", "save_frame"])
def test_a_missing_frame_is_named(worker: Bench, operation: str) -> None:
    """404 and the frame's name."""
    before = objects(worker)
    answer = worker.run(operation, folder=FOLDER, frame="frame_000042.png")
    sentence = f"Frame 'frame_000042.png' not found in folder '{FOLDER}'"
    assert answer == {"error": sentence, "code": "not_found", "status": 404}
    assert objects(worker) == before
