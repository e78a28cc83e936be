"""``put_frame``: a frame of a folder is replaced, or one is added, on both stores."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from framepack.answer import Answer
from framepack.storage.frames.folders import folder_key
from tests.operations.conftest import StoreSettings
from tests.support.clips import Spec, make_clip
from tests.support.runs import Bench, bench

FOLDER = "my frames"
RED = (200, 30, 30)


@pytest.fixture
def worker(tmp_path: Path, new_store: StoreSettings) -> Bench:
    """A worker whose store has a folder of two frames, made by hand."""
    made = bench(tmp_path, **new_store())
    for name in ("frame_000000.png", "frame_000001.png"):
        made.runtime.storage.put_bytes(folder_key(FOLDER) / name, image("PNG", color=(9, 9, 9)))
    return made


def image(kind: str, size: tuple[int, int] = (48, 32), color: tuple[int, int, int] = RED, **options: Any) -> bytes:
    """An image file of one color."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind, **options)
    return file.getvalue()


def put(worker: Bench, frame: str, data: bytes, folder: str = FOLDER) -> Answer:
    """The answer to a request with this image."""
    return worker.run("put_frame", folder=folder, frame=frame, image_base64=base64.b64encode(data).decode())


def stored(worker: Bench) -> dict[str, bytes]:
    """The frames of the folder."""
    storage = worker.runtime.storage
    return {found.key.name: storage.read(found.key) for found in storage.list(folder_key(FOLDER))}


def test_a_frame_is_replaced_byte_for_byte(worker: Bench) -> None:
    """The other frame stays, and the answer says where the new one is."""
    before, data = stored(worker), image("PNG")
    answer = put(worker, "frame_000001.png", data)
    url = answer.pop("url", None)
    assert answer == {
        "success": True,
        "message": "Successfully replaced frame 'frame_000001.png'",
        "folder": FOLDER,
        "filename": "frame_000001.png",
        "size": len(data),
        "path": f"/outputs/postprocessed_output/frames/extracted_frames/{FOLDER}/frame_000001.png",
    }
    assert (url is not None) == worker.runtime.settings.storage.startswith("s3:")
    assert stored(worker) == before | {"frame_000001.png": data}


def test_a_deleted_frame_comes_back_as_it_was(worker: Bench) -> None:
    """What get_frame gives before is what put_frame takes."""
    before = stored(worker)
    given = worker.run("get_frame", folder=FOLDER, frame="frame_000000.png")["base64"]
    worker.run("delete_frame", folder=FOLDER, frame="frame_000000.png")
    answer = worker.run("put_frame", folder=FOLDER, frame="frame_000000.png", image_base64=given)
    assert answer["message"] == "Successfully added frame 'frame_000000.png'"
    assert stored(worker) == before


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.bmp", "BMP"), ("a.webp", "WEBP")]
)
def test_an_image_of_another_format_becomes_what_the_name_says(worker: Bench, name: str, kind: str) -> None:
    """With a warning; its pixels stay, within the loss of JPEG, and upright."""
    other = "PNG" if kind == "BMP" else "BMP"
    answer = put(worker, name, image(other))
    with Image.open(io.BytesIO(stored(worker)[name])) as found:
        assert (found.format, found.size) == (kind, (48, 32))
        assert max(abs(a - b) for a, b in zip(found.convert("RGB").getpixel((5, 5)), RED, strict=True)) <= 2  # type: ignore[arg-type]
    assert answer["warnings"] == [f"The image was converted to {kind}, the format of the frame's name."]


def test_an_image_of_another_size_than_the_extracted_frames_gets_a_warning(tmp_path: Path) -> None:
    """The record of the extraction knows the size; the first frame decides that of a video."""
    worker = bench(tmp_path)
    clip = make_clip(tmp_path / "clip.mp4", Spec(size=(96, 64), count=2))
    folder = worker.run("extract_frames", clip)["folder_name"]
    assert "warnings" not in put(worker, "frame_000001.png", image("PNG", (96, 64)), folder)
    assert put(worker, "frame_000001.png", image("PNG"), folder)["warnings"] == [
        "The image has 48 x 32 pixels, other frames 96 x 64: a video gets the size of its first frame."
    ]


@pytest.mark.parametrize(
    ("frame", "data", "code"),
    [
        ("frame_000000.png", b"not an image", "invalid_media"),
        ("frame_000000.png", image("PNG")[:-30], "invalid_media"),
        ("frame_000000.png", image("PNG", (4097, 2305)), "too_large"),
        ("frame_000000.gif", image("PNG"), "invalid_field"),
        ("frame_000000", image("PNG"), "invalid_field"),
        ("frame_000000.png", b"", "invalid_source"),
    ],
)
def test_a_bad_image_or_name_changes_nothing(worker: Bench, frame: str, data: bytes, code: str) -> None:
    """One sentence, and the folder is as before."""
    before = stored(worker)
    answer = put(worker, frame, data)
    assert answer["code"] == code, answer
    assert stored(worker) == before
