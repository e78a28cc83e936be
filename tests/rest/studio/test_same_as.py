"""The texts of "the same as" do what the page did: each is run, and what it makes is compared."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from framepack.api.filter_settings import FILTER_PRESETS
from framepack.cli.options import file_usage
from framepack.registry import discover
from tests.support.clips import Spec, make_clip
from tests.support.control_plane import ROOT, ControlPlane, Worker
from tests.support.http_server import Answer, HttpServer
from tests.support.node import needs_node, node
from tests.support.rest_server import KEY, RestServer, eventually, tiny_weights, upload

pytestmark = [needs_node, pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")]

STUDIO: Final = ROOT / "framepack" / "rest" / "studio"
SCRIPT: Final = """
import { readFileSync } from "node:fs";
import { sameAs } from "./same-as.js";
const [calls, server] = process.argv.slice(2);
console.log(JSON.stringify(JSON.parse(readFileSync(calls, "utf8")).map((call) => sameAs(call, server))));
"""
PATHS: Final = """
import { framePath } from "./frames-work.js";
const found = (name) => {
  try {
    return framePath(name, name);
  } catch {
    return null;
  }
};
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(found)));
"""
LOCAL: Final = "it's my, clip; größe [1].mp4"
UPLOADED: Final = "UPLOADED"
EARLIER: Final = "EARLIER"
AT_URL: Final = "AT_URL"
FOLDER: Final = "größe & [a] 'b'"
LOOK: Final = "My 'own' look & more"
STEPS: Final = [
    {"type": "filters", "params": {"preset": "cinematic", "contrast": 1.2, "temperature": -12, "blur": None}},
    {"type": "Loop", "params": {"loop_type": "ping-pong"}},
    {"type": "interpolate", "params": {"fps_mode": "No Interpolation", "speed_factor": 2, "use_streaming": False}},
    {"type": "export", "params": {"format": "WebM", "output_name": "it's new & (big)"}},
]
FRAMES: Final = "postprocessed_output/frames/extracted_frames"


@dataclass
class Place:
    """A server and a RunPod worker on one store, a file server, and a folder with the user's file."""

    folder: Path
    server: RestServer
    plane: ControlPlane
    files: HttpServer
    uploaded: str
    earlier: str

    def call(self, operation: str, /, **fields: Any) -> dict[str, Any]:
        """What the page knows of a request."""
        found = discover().find(operation)
        addresses = {
            UPLOADED: self.uploaded,
            EARLIER: self.earlier,
            AT_URL: f"{self.files.url}/a%20b.mp4?x=[1]&y='2'",
        }
        text = json.dumps(fields)
        for name, address in addresses.items():
            text = text.replace(f'"{name}"', json.dumps(address))
        call = {"operation": operation, "route": found.path, "method": found.method, "body": json.loads(text)}
        return call | ({"file": LOCAL} if fields.get("video_url") == UPLOADED else {})

    def run(self, name: str, text: str) -> Any:
        """Do what a text says, in a new folder that has the user's file; return what it made."""
        folder = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        shutil.copyfile(self.folder / LOCAL, folder / LOCAL)
        text = text.replace("my-key", KEY)
        if name == "RunPod job":
            return self._made(self.plane.run(json.loads(text)["input"])["output"])
        framepack = f'framepack() {{ {sys.executable} -m framepack "$@"; }}\n'
        program = (
            [sys.executable, "-c", text] if name == "Python" else ["bash", "-euo", "pipefail", "-c", framepack + text]
        )
        done = subprocess.run(
            program, cwd=folder, env=self._environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, text + done.stdout + done.stderr
        if name == "Command line":
            return local_result(folder, done.stdout)
        return self._made(ast.literal_eval(done.stdout) if name == "Python" else json.loads(done.stdout))

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "FRAMEPACK_WEIGHTS_DIR": str(self.folder.parent / "weights"),
            "FRAMEPACK_WEIGHTS_DOWNLOAD": "false",
            "FRAMEPACK_TEMP_DIR": str(self.folder.parent / "local"),
        }

    def _made(self, answer: dict[str, Any]) -> Any:
        """What an answer says, with the content of its files in place of their names."""
        assert "error" not in answer, answer
        assert "detail" not in answer, answer
        if "results" in answer:
            made = [self._made(each) for each in answer["results"]]
            return made if len(made) > 1 else made[0]
        if "output_path" in answer:
            return content(self.server.outputs / answer["output_path"].removeprefix("/outputs/"))
        if "folder_name" in answer:
            return frames(self.server.outputs / FRAMES / answer["folder_name"])
        return without_names(answer)


def without_names(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is new each time."""
    analysis = {name: value for name, value in answer.get("analysis", {}).items() if name != "filename"}
    new = {"output_url", "saved_path", "filename", "job_id", "analysis", "frames", "contact_sheet_url"}
    return {name: value for name, value in answer.items() if name not in new} | {"analysis": analysis}


@dataclass(frozen=True)
class Video:
    """A video: suffix, rate, and pixels of shape (frames, height, width, 3). Encoders may round differently."""

    suffix: str
    rate: str
    pixels: NDArray[np.float32]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Video)
            and (self.suffix, self.rate, self.pixels.shape) == (other.suffix, other.rate, other.pixels.shape)
            and float(np.abs(self.pixels - other.pixels).mean()) < 1.5
        )

    __hash__ = None  # type: ignore[assignment]


def content(path: Path) -> Video:
    """What is in a video file."""
    with av.open(str(path)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return Video(path.suffix, str(container.streams.video[0].average_rate), np.stack(shown).astype(np.float32))


def frames(folder: Path) -> dict[str, str]:
    """Names and content of the frames in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("frame_*.png"))}


def local_result(folder: Path, printed: str) -> Any:
    """What the command line has made in a folder: a video, a folder of them or of frames, or what it printed."""
    if printed.lstrip().startswith("{"):
        return without_names(json.loads(printed))
    made = folder / printed.strip()
    if made.is_dir() and frames(made):
        return frames(made)
    return content(made) if made.is_file() else [content(folder / line) for line in printed.split("\n") if line]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Both run on one store, as a server in front of RunPod and its workers do."""
    root = tmp_path_factory.mktemp("same-as")
    folder = root / "user"
    folder.mkdir()
    clip = make_clip(folder / LOCAL, Spec(size=(64, 48), count=6))
    weights = {"FRAMEPACK_WEIGHTS_DIR": str(tiny_weights(root / "weights")), "FRAMEPACK_ALLOWED_HOSTS": "127.0.0.1"}
    with (
        HttpServer(lambda asked: Answer(body=b"" if asked.path == "/done" else clip.read_bytes())) as files,
        ControlPlane() as plane,
        RestServer(root) as server,
        Worker(plane, root, **weights),
    ):
        uploaded = upload(server, clip.read_bytes(), LOCAL).json()["video_url"]
        earlier = server.post("/postprocess/filters", {"video_url": uploaded, "saturation": 0}).json()["output_path"]
        preset = {"active_steps": ["Filters", "Export"], "params": {"contrast": 1.5, "export_format": "GIF"}}
        server.post("/workflow/presets", {"name": LOOK, "preset_data": preset})
        server.post("/filters/presets", {"name": LOOK, "settings": {"contrast": 1.5, "vignette": 30}})
        shutil.copytree(
            server.outputs / FRAMES / server.post("/frames/extract", {"video_url": uploaded}).json()["folder_name"],
            server.outputs / FRAMES / FOLDER,
        )
        yield Place(folder, server, plane, files, uploaded, earlier)


def texts(calls: list[dict[str, Any]], server: str, folder: Path) -> list[dict[str, str]]:
    """The texts that the page shows for each call, by name."""
    shutil.copytree(STUDIO, folder / "studio")
    (folder / "studio" / "package.json").write_text('{"type": "module"}')
    (folder / "studio" / "main.mjs").write_text(SCRIPT)
    (folder / "calls.json").write_text(json.dumps(calls))
    done = node(folder / "studio" / "main.mjs", folder / "calls.json", server, folder=folder)
    assert done.returncode == 0, done.stderr
    return [{each["name"]: each["text"] for each in entries} for entries in json.loads(done.stdout)]


def check(place: Place, folder: Path, operation: str, /, **fields: Any) -> dict[str, str]:
    """Run all texts of a call; return them."""
    found = texts([place.call(operation, **fields)], f"{place.server.url}/", folder)[0]
    made = {name: place.run(name, text) for name, text in found.items()}
    assert made["curl"]
    assert all(each == made["curl"] for each in made.values()), made
    return found


def test_filters_on_an_uploaded_file_with_an_odd_name(place: Place, tmp_path: Path) -> None:
    """All four upload or read the file itself, and a negative number is no option."""
    found = check(place, tmp_path, "filters", video_url=UPLOADED, preset="cinematic", brightness=-10)
    assert list(found) == ["curl", "Python", "RunPod job", "Command line"]
    assert place.uploaded not in found["curl"] + found["Python"] + found["Command line"]


def test_a_pipeline_on_a_url_with_nested_steps(place: Place, tmp_path: Path) -> None:
    """Quotes, null, false and names of steps in other spellings; the result is what the last export says."""
    found = check(place, tmp_path, "pipeline", video_url=AT_URL, operations=STEPS)
    assert ".webm" in found["Command line"]


def test_a_query_and_a_path_with_odd_letters(place: Place, tmp_path: Path) -> None:
    """A GET has no body, and the command line has no folders of a server."""
    found = check(place, tmp_path, "list_frames", folder=FOLDER, with_urls=True)
    assert list(found) == ["curl", "Python", "RunPod job"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("analyze", {"video_url": EARLIER}),
        ("batch", {"videos": [{"video_url": EARLIER}, {"video_url": AT_URL}], "operations": STEPS[:2]}),
        ("batch", {"videos": [{"video_url": EARLIER}], "operations": STEPS[:1]}),
        ("export", {"video_url": EARLIER, "format": "GIF", "quality": 60, "output_name": "it's small"}),
        ("extract_frames", {"video_url": UPLOADED, "extraction_rate": 2, "keep_alpha": False}),
        ("filters", {"video_url": UPLOADED, "preset": LOOK, "brightness": 20}),
        ("join", {"video_urls": [EARLIER, AT_URL], "output_name": "both"}),
        ("loop", {"video_url": EARLIER, "num_loops": 2}),
        ("reassemble_frames", {"folder_name": FOLDER, "output_fps": 12, "with_audio": False}),
        ("save_frame", {"folder": FOLDER, "frame": "frame_000001.png"}),
        ("upscale", {"video_url": UPLOADED, "model": "tiny", "enhance_face": False, "use_streaming": True}),
    ],
)
def test_the_texts_of_an_operation(place: Place, tmp_path: Path, operation: str, fields: dict[str, Any]) -> None:
    """With sources of each kind, several sources, presets of the server, paths without a body."""
    check(place, tmp_path, operation, **fields)


@pytest.mark.slow
def test_a_saved_workflow_on_the_command_line_has_the_suffix_of_the_result(place: Place, tmp_path: Path) -> None:
    """The page has seen the answer, so it knows that this preset makes a GIF."""
    call = place.call("pipeline_from_preset", video_url=EARLIER, preset_name=f" {LOOK} ")
    found = texts([call | {"output": "clip_processed.gif"}], place.server.url, tmp_path)[0]
    made = {name: place.run(name, text) for name, text in found.items()}
    assert all(each == made["curl"] for each in made.values()), made
    assert made["Command line"].suffix == ".gif"


@pytest.mark.slow
def test_a_deletion(place: Place, tmp_path: Path) -> None:
    """Each deletes the preset, which is saved again for the next."""
    for name, text in texts([place.call("delete_filter_preset", name="a b")], place.server.url, tmp_path)[0].items():
        place.server.post("/filters/presets", {"name": "a b", "settings": {}})
        assert place.run(name, text)["success"]
        assert "a b" not in place.server.get("/filters/presets").json()["presets"]


@pytest.mark.slow
def test_a_callback(place: Place, tmp_path: Path) -> None:
    """It is sent; the command line has none."""
    receiver = f"{place.files.url}/done"
    call = place.call("filters", video_url=UPLOADED, blur=1, callback_url=receiver, callback_token="a'b$c")
    found = texts([call], place.server.url, tmp_path)[0]
    assert "done" not in found["Command line"]
    for number, name in enumerate(("curl", "Python", "RunPod job"), start=1):
        place.run(name, found[name])
        assert eventually(lambda: sum(each.path == "/done" for each in place.files.requests) >= number)  # noqa: B023
    sent = [each for each in place.files.requests if each.path == "/done"]
    assert {each.headers["Authorization"] for each in sent} == {"Bearer a'b$c"}


def test_the_table_of_the_command_line_is_that_of_framepack_run(tmp_path: Path) -> None:
    """What it takes and gives, and the built-in presets; a batch is a pipeline, and frames are the server's."""
    calls = [
        {
            "operation": each.name,
            "route": each.path,
            "method": each.method,
            "body": {"video_url": "https://a.b/c.mp4"},
        }
        for each in discover()
    ]
    found = texts(calls, "http://localhost:8000", tmp_path)
    offered = {call["operation"] for call, entries in zip(calls, found, strict=True) if "Command line" in entries}
    expected = {each.name for each in discover() if file_usage(each) is not None}
    assert offered == expected - {"reassemble_frames"} | {"batch"}
    for call, entries in zip(calls, found, strict=True):
        usage = file_usage(discover().find(str(call["operation"])))
        if usage is not None and "Command line" in entries:
            assert (" -o " in entries["Command line"].split("\n")[-1]) == (usage.gives != "answer"), call
    source = (STUDIO / "same-as-cli.js").read_text()
    assert f"BUILT_IN_PRESETS = {json.dumps(list(FILTER_PRESETS))};" in source


def test_a_name_that_programs_resolve_to_another_route_has_no_request(tmp_path: Path) -> None:
    """Python's requests would make of /frames/%2E/clip a deletion of the folder "clip", and browsers do the same."""
    route = {"operation": "delete_frame", "route": "/frames/{folder}/{frame}", "method": "DELETE"}
    names = [".", "..", "", "...", "a.b"]
    calls = [{**route, "body": {"folder": folder, "frame": "clip"}} for folder in names]
    calls += [{**route, "body": {"folder": "clip", "frame": frame}} for frame in names]
    offered = ["curl" in entries for entries in texts(calls, "http://localhost:8000", tmp_path)]
    assert offered == [False, False, False, True, True] * 2

    script = tmp_path / "studio" / "paths.mjs"
    script.write_text(PATHS)
    done = node(script, json.dumps(names), folder=tmp_path)
    assert json.loads(done.stdout) == [None, None, None, "/frames/.../...", "/frames/a.b/a.b"], done.stderr


def test_a_prompt_that_looks_like_an_option_and_a_preset_in_a_step(tmp_path: Path) -> None:
    """The first goes after "--"; with a preset of the server in a step there is no command line."""
    steps = [{"type": "filters", "params": {"preset": "mine"}}]
    prompt, pipeline = texts(
        [
            {
                "operation": "enhance_prompt",
                "route": "/enhance-prompt",
                "method": "POST",
                "body": {"prompt": "--a 'b'", "seed": 7},
            },
            {
                "operation": "pipeline",
                "route": "/p",
                "method": "POST",
                "body": {"video_url": "/outputs/a.mp4", "operations": steps},
            },
        ],
        "http://localhost:8000",
        tmp_path,
    )
    assert prompt["Command line"] == "framepack run enhance-prompt --seed 7 -- '--a '\\''b'\\'''"
    assert "Command line" not in pipeline
