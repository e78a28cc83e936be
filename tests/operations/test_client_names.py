"""Names from clients, through the handler: none reaches anything outside its folder, and none is answered 500."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

from framepack.registry import discover
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.runs import Bench, bench

VECTORS: Final = [
    # 1: nothing, dots, and dots in disguise
    *("..", ".", "", " ", "...", "%2e", "%2e%2e", "%252e%252e", ". .", "..;", "%2e%2e%2f", "..%5c..%5cetc"),
    # 2: a sibling whose name begins with the folder's
    *("../extracted_frames-secret", "../extracted_frames-secret/frame_000000.png", "..-secret"),
    # 3: absolute and foreign paths, streams, devices, ends that a file system drops
    *("/", "//", "/etc/passwd", "~", "~root", "C:\\x", "\\\\host\\share", "..\\x", "x:stream", "file:///etc/passwd"),
    *("CON", "NUL.png", "com1.mp4", "x.", "x ", ".x", "a/../../x", "a/b", "a\\b", "./x", "x/", "../../../state/x"),
    *("../../../../canary.txt", "../../../state/settings/autosave.json", "state/settings/autosave.json"),
    # 4: control, invisible and broken characters, forms of one letter
    *("a\x00b", "a\rb", "a\nb", "a\tb", "a\x7fb", "a\r\nX: 1", "a\u202eb", "a\u200bb", "\ud800", "a\udc00", "\ufffd"),
    *("\uff2f\uff2b", "u\u0308ber", "\u00fcber", "\ufeffx", "\u2028"),
    # 5: too long
    *("a" * 100, "a" * 101, "a" * 255, "a" * 256, "a" * 5000, "\U0001f600" * 64, "\u65e5" * 85, "\u65e5" * 86),
    # 6: what is in the folder without being a folder or a frame
    *("link", "pipe", "folder_link", "frame_000001.png", "frame_000002.png"),
    # 7: names of routes
    *("folders", "save", "reassemble", "extract", "presets", "state", "outputs"),
    # 8: the protected preset, lookalikes of it, and names of other languages' own things
    *("None", "none", " NONE ", "n\u043ene", "__proto__", "constructor", ".json", "x.json", "damaged"),
    # 9: what breaks headers, addresses and shells
    *(
        'a"b',
        "a;b",
        "a'b",
        "a`b",
        "$(x)",
        "a&b",
        "a#b",
        "a?b=c",
        "a%b",
        "<script>",
        "{x}",
        "*",
        "a|b",
        "\u65e5\u672c",
    ),
]

Fields = Callable[[str], dict[str, Any]]


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


FRAME: Final = _png()
IMAGE: Final = base64.b64encode(FRAME).decode()

# Everything that takes a client's name: operation, field, and the request for a name.
CASES: Final[list[tuple[str, str, Fields]]] = [
    ("list_frames", "folder", lambda name: {"folder": name}),
    ("delete_frame_folder", "folder", lambda name: {"folder": name}),
    ("get_frame", "folder", lambda name: {"folder": name, "frame": "frame_000000.png"}),
    ("get_frame", "frame", lambda name: {"folder": "clip", "frame": name}),
    ("delete_frame", "folder", lambda name: {"folder": name, "frame": "frame_000000.png"}),
    ("delete_frame", "frame", lambda name: {"folder": "clip", "frame": name}),
    ("put_frame", "folder", lambda name: {"folder": name, "frame": "frame_000000.png", "image_base64": IMAGE}),
    ("put_frame", "frame", lambda name: {"folder": "clip", "frame": name, "image_base64": IMAGE}),
    ("save_frame", "folder", lambda name: {"folder": name, "frame": "frame_000000.png"}),
    ("save_frame", "frame", lambda name: {"folder": "clip", "frame": name}),
    ("reassemble_frames", "folder_name", lambda name: {"folder_name": name}),
    ("reassemble_frames", "output_name", lambda name: {"folder_name": "clip", "output_name": name}),
    ("save_workflow_preset", "name", lambda name: {"name": name, "preset_data": {}}),
    ("delete_workflow_preset", "name", lambda name: {"name": name}),
    ("pipeline_from_preset", "preset_name", lambda name: {"preset_name": name}),
    ("save_filter_preset", "name", lambda name: {"name": name, "settings": {}}),
    ("delete_filter_preset", "name", lambda name: {"name": name}),
    ("filters", "preset", lambda name: {"preset": name}),
    ("export", "output_name", lambda name: {"output_name": name}),
    ("join", "output_name", lambda name: {"output_name": name}),
    ("save_video", "custom_name", lambda name: {"custom_name": name}),
    ("pipeline", "operations", lambda name: {"operations": [{"type": "export", "params": {"output_name": name}}]}),
    ("pipeline", "operations", lambda name: {"operations": [{"type": "filters", "params": {"preset": name}}]}),
]
NAMED: Final = {"folder", "frame", "name", "folder_name", "output_name", "custom_name", "preset_name", "preset"}
CANARY: Final = b"CANARYcanaryCANARY"
ONE_VIDEO: Final = {"pipeline_from_preset", "filters", "export", "save_video", "pipeline"}
FRAMES: Final = "outputs/postprocessed_output/frames/extracted_frames"


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with frames, presets and saved videos, and with things around them that must stay as they are."""
    for place in (
        "canary.txt",
        "outputs/canary.txt",
        "outputs/postprocessed_output/saved_videos/canary.mp4",
        "outputs/state/settings/canary.json",
        f"{FRAMES}/frame_000000.png",
        f"{FRAMES}-secret/frame_000000.png",
        f"{FRAMES}/clip/frame_000002.png/inner.png",
        "outside/frame_000000.png",
        "outside/passwd",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(CANARY + place.encode())
    clip = tmp_path / FRAMES / "clip"
    (clip / "frame_000000.png").write_bytes(FRAME)
    (clip / "frame_000001.png").symlink_to(tmp_path / "outside" / "passwd")
    (clip / "link").symlink_to(tmp_path / "outside" / "passwd")
    (tmp_path / FRAMES / "folder_link").symlink_to(tmp_path / "outside")
    os.mkfifo(clip / "pipe")
    os.mkfifo(tmp_path / FRAMES / "pipe")
    return bench(tmp_path, allowed_hosts=("127.0.0.1",))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a few pixels."""
    return make_clip(tmp_path_factory.mktemp("video") / "clip.mp4", Spec(count=2))


@pytest.fixture(scope="module")
def server(video: Path) -> Iterator[HttpServer]:
    """Serves the video."""
    with HttpServer({"/clip.mp4": Answer(body=video.read_bytes())}) as running:
        yield running


def test_every_field_that_takes_a_name_is_tried() -> None:
    """No operation has one that is not in the table."""
    there = {
        (operation.name, field) for operation in discover() for field in NAMED & operation.request.model_fields.keys()
    }
    assert there == {(operation, field) for operation, field, _ in CASES if field != "operations"}
    assert len(VECTORS) > 80


@pytest.mark.parametrize(
    ("operation", "fields"),
    [pytest.param(name, fields, id=f"{name}-{field}") for name, field, fields in CASES],
)
def test_no_name_reaches_outside(
    worker: Bench, video: Path, server: HttpServer, operation: str, fields: Fields
) -> None:
    """Whatever the name: what was there is there, unread and unchanged, and nothing new is outside the folders."""
    statuses = set()
    for name in VECTORS:
        before = snapshot(worker.folder)
        answer = worker.run(operation, **_sources(operation, video, server), **fields(name))
        after = snapshot(worker.folder)

        statuses.add(answer.get("status", 200))
        assert CANARY.decode() not in str(answer), (name, answer)
        assert base64.b64encode(CANARY).decode() not in str(answer), (name, answer)
        if "error" in answer:
            assert after == before, (name, answer)
        if operation == "put_frame" and before.get(f"{FRAMES}/clip/{name}", "").startswith("link"):
            del before[f"{FRAMES}/clip/{name}"]  # the frame takes the place of the link, not of what it names
        assert before.items() <= after.items(), (name, answer)
        new = after.keys() - before.keys()
        assert all(place.startswith(("outputs/postprocessed_output/", "outputs/state/")) for place in new), (
            name,
            new,
        )
        assert not [place for place in new if "canary" in place or "secret" in place]
        _forget(worker.folder, new)
    assert {400} < statuses <= {200, 400, 404}, "some are refused, others are names, and nothing fails"


def snapshot(folder: Path) -> dict[str, str]:
    """Every file, link and pipe below the folder but working files, with what it holds."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*files, *(each for each in folders if (Path(parent) / each).is_symlink())):
            path = Path(parent) / name
            place = str(path.relative_to(folder))
            if not place.startswith("temp/"):
                found[place] = _content(path)
    return found


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "pipe"


def _forget(folder: Path, places: set[str]) -> None:
    """Remove what a request has made, so that the next finds the same store."""
    for place in places:
        (folder / place).unlink()


def _sources(operation: str, video: Path, server: HttpServer) -> dict[str, Any]:
    if operation in ONE_VIDEO:
        return {"video_base64": base64.b64encode(video.read_bytes()).decode()}
    return {"video_urls": [f"{server.url}/clip.mp4"] * 2} if operation == "join" else {}
