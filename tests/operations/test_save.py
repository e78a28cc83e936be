"""``save_video`` and the autosave switch: what is kept, where, and under which name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.runs import Bench, bench


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that may fetch from this machine."""
    return bench(tmp_path, allowed_hosts=("127.0.0.1",), public_url="https://example.com")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A small video."""
    return make_clip(tmp_path / "clip.mp4", Spec(count=3))


def saved(worker: Bench) -> dict[str, bytes]:
    """All results in the store, by their place."""
    root = worker.folder / "outputs"
    files = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] != "state"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_the_answer_is_the_documented_one(worker: Bench, clip: Path) -> None:
    """The very bytes lie where the answer says, under the name asked for."""
    answer = worker.run("save_video", clip, custom_name="my_video")

    data = clip.read_bytes()
    url = answer.pop("output_url")
    assert url.startswith("https://example.com/outputs/postprocessed_output/saved_videos/my_video.mp4")
    assert answer == {
        "success": True,
        "message": "Video saved to permanent storage successfully",
        "saved_path": "/outputs/postprocessed_output/saved_videos/my_video.mp4",
        "filename": "my_video.mp4",
        "output_file_size": len(data),
    }
    assert saved(worker) == {"postprocessed_output/saved_videos/my_video.mp4": data}
    assert worker.leftovers() == []


def test_a_name_that_is_taken_is_not_overwritten(worker: Bench, clip: Path, tmp_path: Path) -> None:
    """The second video of a name gets one of its own, and the answer tells it."""
    other = make_clip(tmp_path / "other.mp4", Spec(count=5))

    first = worker.run("save_video", clip, custom_name="film")
    second = worker.run("save_video", other, custom_name="film.mp4")

    assert first["filename"] == "film.mp4"
    assert second["filename"].startswith("film-")
    assert second["saved_path"].endswith(second["filename"])
    folder = "postprocessed_output/saved_videos/"
    assert saved(worker) == {
        folder + first["filename"]: clip.read_bytes(),
        folder + second["filename"]: other.read_bytes(),
    }


@pytest.mark.parametrize(
    ("source", "custom_name", "filename"),
    [
        ("clip.mp4", None, "clip.mp4"),
        ("clip.mp4", "film", "film.mp4"),
        ("clip.mp4", "film.MP4", "film.mp4"),
        ("clip.mp4", "film.v2", "film.v2.mp4"),
        ("clip.mp4", "film.webm", "film.webm"),
        ("clip.webm", "film", "film.webm"),
        ("clip.mkv", "film", "film.mkv"),
        ("clip.gif", "film", "film.gif"),
        ("clip.mp4", "4K + cinematic (2)", "4K + cinematic (2).mp4"),
        ("clip.mp4", "日本", "untitled_video.mp4"),
        ("clip.mp4", "Über", "Uber.mp4"),
        ("clip.mp4", "a" * 100, "a" * 100 + ".mp4"),
    ],
)
def test_names(worker: Bench, tmp_path: Path, source: str, custom_name: str | None, filename: str) -> None:
    """A name is written in plain letters and gets the source's extension unless it has a usual one."""
    spec = Spec(count=3, codec="gif", pix_fmt="rgb8", colors=None) if source.endswith("gif") else Spec(count=3)
    clip = make_clip(tmp_path / source, spec)
    fields: dict[str, Any] = {} if custom_name is None else {"custom_name": custom_name}

    with HttpServer({f"/{source}": Answer(body=clip.read_bytes())}) as server:
        fetched = worker.run("save_video", video_url=f"{server.url}/{source}", **fields)

    assert fetched["filename"] == filename
    assert saved(worker) == {f"postprocessed_output/saved_videos/{filename}": clip.read_bytes()}


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "/absolute", "a\r\nX: 1.mp4", "a" * 101, "nul.mp4"])
def test_what_is_no_name_is_refused(worker: Bench, clip: Path, name: str) -> None:
    """The sentence says what a name is, and nothing is stored."""
    answer = worker.run("save_video", clip, custom_name=name)

    assert (answer["status"], answer["code"]) == (400, "invalid_field")
    assert answer["error"].startswith("custom_name must be a name ")
    assert saved(worker) == {}


def test_a_blank_name_is_no_name(worker: Bench, clip: Path) -> None:
    """A form sends one for an empty input; the video gets the name that it gets without one."""
    answer = worker.run("save_video", clip, custom_name=" ")

    assert answer["filename"] == "video.mp4"
    assert saved(worker) == {"postprocessed_output/saved_videos/video.mp4": clip.read_bytes()}


@pytest.mark.parametrize(
    ("name", "filename"), [("a.webm", "video.webm"), ("a.mkv", "video.mkv"), ("a.mp4", "video.mp4")]
)
def test_an_inline_video_is_named_by_what_it_is(worker: Bench, tmp_path: Path, name: str, filename: str) -> None:
    """Without any name the container decides on the extension."""
    answer = worker.run("save_video", make_clip(tmp_path / name, Spec(count=3)))

    assert answer["filename"] == filename


def test_only_videos_are_saved(worker: Bench, tmp_path: Path) -> None:
    """What is no video is refused, and nothing of it is stored."""
    page = tmp_path / "page.mp4"
    page.write_bytes(b"<html></html>" * 100)

    answer = worker.run("save_video", page, custom_name="page")

    assert (answer["status"], answer["code"]) == (400, "invalid_media")
    assert saved(worker) == {}


def test_autosave_is_a_switch_that_lasts(worker: Bench, tmp_path: Path) -> None:
    """It is off at first, says what it was set to, and a new worker finds it so."""
    assert worker.run("get_autosave") == {
        "success": True,
        "message": "Autosave is disabled",
        "autosave_enabled": False,
    }
    assert worker.run("set_autosave", enabled=True) == {
        "success": True,
        "message": "Autosave enabled successfully",
        "autosave_enabled": True,
    }
    assert bench(tmp_path).run("get_autosave") == {
        "success": True,
        "message": "Autosave is enabled",
        "autosave_enabled": True,
    }
    assert worker.run("set_autosave", enabled=False)["message"] == "Autosave disabled successfully"
    assert worker.run("get_autosave")["autosave_enabled"] is False
