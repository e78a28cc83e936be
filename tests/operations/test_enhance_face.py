"""``enhance_face`` from request to file: faces found, restored and pasted; nothing done without its models."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from framepack.job import Job, JobInput
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.models.library import ModelLibrary
from framepack.models.weights.catalog import CATALOG, Catalog
from framepack.models.weights.store import WeightsStore
from framepack.operations.postprocess.upscale import UpscaleParams, upscaled
from tests.support.clips import Pixels, Spec, make_clip, scene
from tests.support.faces import published_faces
from tests.support.http_server import HttpServer
from tests.support.networks import tiny_compact
from tests.support.readback import psnr, read_back
from tests.support.runs import Bench, bench
from tests.support.weights import fetch_never
from tests.support.yunet import CELL

SIZE = (160, 120)
CORNER = (72, 48)  # of the green square
STEP = {"type": "upscale", "params": {"model": "tiny", "enhance_face": True}}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Catalog]:
    """Weights of a small upscaler "tiny" and of the models for faces, and the table of the latter."""
    folder = tmp_path_factory.mktemp("faces")
    save_file(tiny_compact(scale=2), folder / "tiny.safetensors")
    return folder, published_faces(folder)


@pytest.fixture
def own(tmp_path: Path, weights: tuple[Path, Catalog]) -> Bench:
    """A bench with these weights."""
    made = bench(tmp_path, video_crf=4)
    folder, catalog = weights
    store = WeightsStore(folder, allow_download=False, download=fetch_never, catalog=catalog)
    made.runtime.models = ModelLibrary(catalog, store, device="cpu")
    return made


def with_face(index: int, width: int, height: int) -> Pixels:
    """A moving scene with a green square that stays: the test's detector takes it for a face."""
    frame = scene(index, width, height) // 2
    x, y = CORNER
    frame[y : y + CELL, x : x + CELL] = (0, 255, 0)
    return frame


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A short video of a face."""
    spec = Spec(size=SIZE, count=2, frame=with_face, options={"crf": "1"})
    return make_clip(tmp_path / "source.mp4", spec)


def frames(own: Bench, answer: dict[str, Any]) -> list[NDArray[np.float64]]:
    """The frames of an answer's video."""
    return [frame.astype(np.float64) for frame in read_back(own.output(answer)).frames]


def test_faces_are_restored_in_their_place(own: Bench, source: Path) -> None:
    """Around the face the network's frame is seen; elsewhere the frames are those of the plain upscale."""
    plain = frames(own, own.run("upscale", source, model="tiny"))
    made = frames(own, own.run("upscale", source, model="tiny", enhance_face=True))

    assert [frame.shape for frame in made] == [(240, 320, 3)] * 2
    for before, after in zip(plain, made, strict=True):
        face, elsewhere = (slice(60, 130), slice(100, 190)), (slice(0, 240), slice(0, 40))
        assert psnr(before[face], after[face]) < 25
        assert psnr(before[elsewhere], after[elsewhere]) > 40


def test_tiles_make_no_difference(own: Bench, source: Path) -> None:
    """A tile size changes where the upscaler cuts, not the faces."""
    whole = frames(own, own.run("upscale", source, model="tiny", enhance_face=True))
    tiled = frames(own, own.run("upscale", source, model="tiny", enhance_face=True, tile_size=256))
    assert min(psnr(one, other) for one, other in zip(whole, tiled, strict=True)) > 50


def test_without_faces_it_is_the_plain_upscale(own: Bench, tmp_path: Path) -> None:
    """Where no face is found, every frame is the plain upscale's to the last bit."""
    path = make_clip(tmp_path / "empty.mp4", Spec(size=SIZE, count=2))
    clip = open_clip(path, probe(path), warn=lambda _: None)
    with own.runtime.job_context(Job("test"), JobInput({})) as ctx:
        plain, made = (
            list(upscaled.apply(clip, UpscaleParams(model="tiny", enhance_face=wanted), ctx).frames())
            for wanted in (False, True)
        )
    assert len(made) == 2
    assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(plain, made, strict=True))  # type: ignore[attr-defined]


def test_the_name_says_it(own: Bench, source: Path) -> None:
    """The file is called after what was done."""
    answer = own.run("upscale", source, model="tiny", scale_factor=1.5, enhance_face=True)
    assert "_upscaled_x1p5_FaceEnhance_" in answer["output_filename"]


def test_models_are_shared_and_stay_warm(own: Bench, source: Path) -> None:
    """Two jobs load the upscaler and the two models for faces once; they can be unloaded as a group."""
    for _ in range(2):
        own.run("upscale", source, model="tiny", enhance_face=True)
    cache = own.runtime.models.cache
    assert cache.loads == 3
    assert {model.name for model in cache.unload("face")} == {"Green", "Narrow"}


@pytest.mark.parametrize("endpoint", ["pipeline", "batch"])
def test_a_step_restores_faces(own: Bench, source: Path, endpoint: str) -> None:
    """As a step of a pipeline or of a batch it is the same as alone."""
    alone = frames(own, own.run("upscale", source, model="tiny", enhance_face=True))
    if endpoint == "pipeline":
        answer = own.run("pipeline", source, operations=[STEP])
    else:
        video = {"video_base64": base64.b64encode(source.read_bytes()).decode()}
        [answer] = own.run("batch", videos=[video], operations=[STEP])["results"]
    assert min(psnr(one, other) for one, other in zip(alone, frames(own, answer), strict=True)) > 40


def test_missing_weights_are_reported_before_the_download(tmp_path: Path, weights: tuple[Path, Catalog]) -> None:
    """A worker without GFPGAN says so before it fetches a video or loads a model, alone and in a pipeline."""
    made = bench(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "tiny.safetensors").write_bytes((weights[0] / "tiny.safetensors").read_bytes())
    with HttpServer({}) as server:
        url = f"{server.url}/clip.mp4"
        alone = made.run("upscale", video_url=url, model="tiny", enhance_face=True)
        piped = made.run("pipeline", video_url=url, operations=[STEP])
        assert server.requests == []

    assert (alone["status"], alone["code"]) == (503, "model_unavailable")
    assert alone["error"].startswith(
        "The weights file face_detection_yunet_2023mar.onnx is missing: put the published"
    )
    assert piped["error"] == f"operations[0] (upscale): {alone['error']}"
    assert made.runtime.models.cache.loads == 0


def test_weights_that_are_not_the_published_ones_are_refused(tmp_path: Path, source: Path) -> None:
    """A file of the right name and wrong content is named in the answer."""
    made = bench(tmp_path)
    (tmp_path / "weights").mkdir()
    for weights in (row.weights[0] for row in CATALOG.group("face")):
        (tmp_path / "weights" / weights.filename).write_bytes(b"something else")
    answer = made.run("upscale", source, model="RealESR_AnimeVideo_v3", enhance_face=True)
    assert (answer["status"], answer["code"]) == (503, "model_unavailable")
    assert "face_detection_yunet_2023mar.onnx in the weights folder is not the published one" in answer["error"]


def test_a_worker_without_face_models_says_so(own: Bench, source: Path) -> None:
    """A table without models for faces is no crash."""
    own.runtime.models.catalog = Catalog(())
    answer = own.run("upscale", source, model="tiny", enhance_face=True)
    assert (answer["status"], answer["error"]) == (503, "This worker has no models for faces.")
