"""``caption_image`` from the job's input to the answer, with a tiny model of the real class and no network."""

from __future__ import annotations

import base64
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from framepack.job import Job, Progress
from tests.support.clips import scene
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.runs import Bench, bench
from tests.support.tiny_language import florence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved repository."""
    return florence(tmp_path_factory.mktemp("models") / "tiny-florence")


@pytest.fixture
def worker(tmp_path: Path, folder: Path) -> Bench:
    """A worker whose captioner is a folder."""
    return bench(tmp_path, captioner_model=str(folder), device="cpu", allowed_hosts=("127.0.0.1",))


@pytest.fixture
def seen(worker: Bench) -> Iterator[list[torch.Tensor]]:
    """The images that the network is given, as it is given them."""
    images: list[torch.Tensor] = []

    def note(_tower: Any, args: tuple[torch.Tensor, ...], fields: dict[str, Any]) -> None:
        images.append((args[0] if args else fields["pixel_values"]).clone())

    with worker.runtime.models.captioner() as captioner:
        hook = captioner._network.model.vision_tower.register_forward_pre_hook(note, with_kwargs=True)
        yield images
        hook.remove()


def _encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


IMAGE = Image.fromarray(scene(3, 60, 40))


def test_the_documented_answer(worker: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caption is the one that plain transformers code writes, and no connection is made."""
    processor: Any = Florence2Processor.from_pretrained(folder)
    network: Any = Florence2ForConditionalGeneration.from_pretrained(folder)
    inputs = processor(text="<MORE_DETAILED_CAPTION>", images=IMAGE, return_tensors="pt")
    tokens = network.generate(**inputs, max_new_tokens=47, num_beams=3, do_sample=False)
    expected = " ".join(processor.batch_decode(tokens, skip_special_tokens=True)[0].split())

    def refuse(_socket: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address} was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    answer = worker.run("/caption-image", image_base64=_text(_encoded(IMAGE)))

    assert answer == {"success": True, "caption": expected, "message": "Image captioned successfully"}
    assert len(expected) > 20
    assert worker.run("ai_status")["captioner"] == {"loaded": True, "model_name": "tiny-florence"}
    assert worker.leftovers() == []


def test_addresses_and_data_uris_mean_the_same(worker: Bench) -> None:
    """However the image comes, its caption is the same; another image has another one."""
    data = _encoded(IMAGE)
    with HttpServer({"/cat.png": Answer(body=data)}) as server:
        answers = [
            worker.run("caption_image", image_url=f"{server.url}/cat.png"),
            worker.run("caption_image", image_base64=_text(data)),
            worker.run("caption_image", image_base64=f"data:image/png;base64,{_text(data)}"),
        ]
    other = worker.run("caption_image", image_base64=_text(_encoded(Image.fromarray(scene(9, 60, 40)[::-1].copy()))))

    assert answers[0] == answers[1] == answers[2]
    assert other["caption"] != answers[0]["caption"]


def test_the_model_sees_images_upright(worker: Bench, seen: list[torch.Tensor]) -> None:
    """A camera's note on how it was held changes what the model sees, to the last pixel."""
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turned clockwise
    turned = IMAGE.transpose(Image.Transpose.ROTATE_270)

    for data in (_encoded(IMAGE), _encoded(IMAGE, exif=exif), _encoded(turned)):
        assert worker.run("caption_image", image_base64=_text(data))["success"]

    as_stored, by_note, by_hand = seen
    assert torch.equal(by_note, by_hand)
    assert not torch.equal(by_note, as_stored)


def test_transparent_parts_are_white(worker: Bench, seen: list[torch.Tensor]) -> None:
    """As viewers show them, and not what color they may hide."""
    hidden = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    white = Image.new("L", (3, 3), 255)

    for image in (hidden, white):
        assert worker.run("caption_image", image_base64=_text(_encoded(image)))["success"]

    assert torch.allclose(seen[0], seen[1])


def test_progress_counts_tokens(worker: Bench) -> None:
    """How many words there will be is not known before, and cancelling stops the next one."""
    reported: list[Progress] = []
    job = Job()

    def report(progress: Progress) -> None:
        reported.append(progress)
        if progress.done == 2:
            job.cancel()

    job.report = report
    answer = worker.run("caption_image", image_base64=_text(_encoded(IMAGE)), job=job)

    assert answer["code"] == "cancelled"
    assert [(each.done, each.unit, each.percent) for each in reported] == [(1, "tokens", None), (2, "tokens", None)]


_ANIMATION = _encoded(IMAGE, "GIF", save_all=True, append_images=[Image.new("RGB", (60, 40))])


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({}, 400, "Either image_base64 or image_url is required"),
        ({"image_url": "https://example.com/a.png", "image_base64": "AAAA"}, 400, "Only one of image_base64 and"),
        ({"image_base64": "no base64!"}, 400, "image_base64 is not valid base64."),
        ({"image_url": "file:///etc/passwd"}, 400, ""),
        ({"image_base64": _text(b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, 400, "The image is damaged or not a"),
        ({"image_base64": _text(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")}, 400, "The image is damaged or not a"),
        ({"image_base64": _text(_encoded(IMAGE)[:200])}, 400, "The image is damaged or not a"),
        ({"image_base64": _text(_ANIMATION)}, 400, "The image is animated; it must be a single image."),
        ({"image_base64": _text(bytes(30_000))}, 413, "The image has 0.0 MB; at most 0.02 MB are allowed."),
        (
            {"image_base64": _text(_encoded(Image.new("1", (200, 200))))},
            413,
            "The image has 200 x 200 pixels; at most",
        ),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, folder: Path, fields: dict[str, Any], status: int, sentence: str
) -> None:
    """In one sentence, before the model is loaded."""
    small = bench(tmp_path, captioner_model=str(folder), max_image_mb=0.02, max_image_pixels=30_000)

    answer = small.run("caption_image", **fields)

    assert answer["status"] == status, answer
    assert answer["error"].startswith(sentence)
    assert small.runtime.models.cache.loads == 0


def test_large_downloads_are_cut_off(tmp_path: Path) -> None:
    """An image may be smaller than a video may be, also by address."""
    data = np.random.default_rng(0).bytes(50_000)
    small = bench(tmp_path, max_image_mb=0.02, allowed_hosts=("127.0.0.1",))

    with HttpServer({"/large.png": Answer(body=data)}) as server:
        answer = small.run("caption_image", image_url=f"{server.url}/large.png")

    assert (answer["status"], answer["error"]) == (413, "The source is larger than the 0.02 MB allowed.")


def test_the_end_is_reported(worker: Bench) -> None:
    """The callback carries the caption, for there is no file, and not the image."""
    received: list[Received] = []

    def receive(request: Received) -> Answer:
        received.append(request)
        return Answer(200)

    with HttpServer({"/hook": receive}) as server:
        url = f"{server.url}/hook"
        answer = worker.run("caption_image", image_base64=_text(_encoded(IMAGE)), callback_url=url)

    body = json.loads(received[0].body)
    assert (body["operation"], body["success"]) == ("caption_image", True)
    assert body["metadata"] == {"caption": answer["caption"]}
