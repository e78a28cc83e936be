"""``extract_frames`` from request to folder: the decoder's frames, all or nothing, in bounded room."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from framepack.job import Job, JobInput, Progress
from framepack.media.clip import Frame
from framepack.media.images.convert import png, to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.operations.frames import extract
from framepack.storage.frames.writer import FolderWriter
from tests.operations.conftest import StoreSettings
from tests.support.clips import AudioSpec, Spec, corrupt, make_clip, number_of, numbered, real_clip, scene, truncate
from tests.support.http_server import Answer, HttpServer
from tests.support.readback import psnr
from tests.support.runs import Bench, bench
from tests.support.s3_server import S3Server

FRAMES = "postprocessed_output/frames/extracted_frames"


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that may fetch from this machine."""
    return bench(tmp_path, allowed_hosts=("127.0.0.1",))


def stored(worker: Bench) -> list[str]:
    """All files in the store."""
    root = worker.folder / "outputs"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def frames(worker: Bench, folder: str) -> list[NDArray[np.uint8]]:
    """The frames of a folder, read plainly."""
    return [opened(path) for path in sorted((worker.folder / "outputs" / FRAMES / folder).iterdir())]


def opened(path: Path) -> NDArray[np.uint8]:
    """A PNG file of 8-bit RGB."""
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def test_the_answer_is_the_documented_one(tmp_path: Path) -> None:
    """Message, name, count and path are as documented, and everything is where the answer says."""
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",))
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=7, audio=AudioSpec(seconds=0.28)))
    with HttpServer({"/My%20clip.v2.mp4": Answer(body=clip.read_bytes())}) as server:
        answer = worker.run("extract_frames", video_url=f"{server.url}/My%20clip.v2.mp4", extraction_rate=2)
    folder = answer["folder_name"]
    assert re.fullmatch(r"My clip_v2_extracted_every_2_\d{6}_\d{6}_\d[0-9a-z]{5}", folder)
    assert answer == {
        "success": True,
        "message": "Successfully extracted 4 frames",
        "folder_name": folder,
        "frame_count": 4,
        "frames_path": f"/outputs/{FRAMES}/{folder}",
        "contact_sheet_path": f"/outputs/postprocessed_output/frames/contact_sheets/{folder}.jpg",
    }
    assert stored(worker) == [
        f"postprocessed_output/frames/contact_sheets/{folder}.jpg",
        *(f"{FRAMES}/{folder}/frame_00000{position}.png" for position in range(4)),
        f"state/frame_folders/{folder}.json",
        f"state/frame_sounds/{folder}.mka",
    ]
    assert worker.leftovers() == []


@pytest.mark.parametrize("rate", [1, 3, 100])
def test_every_nth_frame_is_extracted(worker: Bench, tmp_path: Path, rate: int) -> None:
    """The first frame and every Nth after it, numbered in a row; the list knows where each comes from."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=14, frame=numbered))
    answer = worker.run("extract_frames", clip, extraction_rate=rate)
    expected = list(range(0, 14, rate))
    assert [number_of(image) for image in frames(worker, answer["folder_name"])] == expected
    assert answer["message"] == f"Successfully extracted {len(expected)} frame{'s' if len(expected) > 1 else ''}"
    listed = worker.run("list_frames", folder=answer["folder_name"])
    assert [frame["source_index"] for frame in listed["frames"]] == expected
    assert listed["source"] == {
        "name": "video",
        "fps": "25",
        "extraction_rate": rate,
        "width": 64,
        "height": 48,
        "has_audio": False,
    }


@pytest.mark.parametrize(
    ("name", "spec", "size"),
    [
        ("odd.mkv", Spec(size=(61, 43), pix_fmt="yuv444p"), (61, 43)),
        ("turned.mp4", Spec(rotation=90), (48, 64)),
        ("deep.mp4", Spec(pix_fmt="yuv420p10le", codec="libx265"), (64, 48)),
        ("alpha.mov", Spec(pix_fmt="argb", codec="qtrle", colors=None), (64, 48)),
        ("large.mp4", Spec(size=(1280, 720), count=3), (1280, 720)),
    ],
)
def test_frames_are_the_decoders_frames(
    worker: Bench, tmp_path: Path, name: str, spec: Spec, size: tuple[int, int]
) -> None:
    """Bit by bit what the decoder gave, upright, and in the colors of the scene."""
    clip = make_clip(tmp_path / name, spec)
    got = frames(worker, worker.run("extract_frames", clip)["folder_name"])
    reference = [to_rgb(frame) for frame in open_clip(clip, probe(clip), warn=lambda _: None).frames()]
    assert len(got) == len(reference) == spec.count
    assert all(np.array_equal(one, other) for one, other in zip(got, reference, strict=True))
    assert got[0].shape == (size[1], size[0], 3)
    shown = [scene(index, *spec.size) for index in range(spec.count)]
    upright = [np.rot90(image, -1) for image in shown] if spec.rotation else shown
    assert min(psnr(one, other) for one, other in zip(got, upright, strict=True)) > 33


def test_a_repeated_frame_is_extracted_repeatedly(worker: Bench, tmp_path: Path) -> None:
    """A variable rate becomes a constant one; a frame that is held is encoded once and stored for each slot."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(times=[Fraction(slot, 25) for slot in (0, 1, 4, 5)], frame=numbered))
    answer = worker.run("extract_frames", clip)
    numbers = [number_of(frame) for frame in frames(worker, answer["folder_name"])]
    assert numbers[:6] == [0, 1, 1, 1, 2, 3]
    files = sorted((worker.folder / "outputs" / FRAMES / answer["folder_name"]).iterdir())
    assert files[1].read_bytes() == files[2].read_bytes() == files[3].read_bytes()


def test_frames_are_encoded_at_the_same_time(worker: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoding of a frame does not wait for that of another one, with any version of Python."""
    meeting = threading.Barrier(2)

    def met(frame: Frame) -> bytes:
        meeting.wait(timeout=60)
        return png(frame)

    monkeypatch.setattr(extract, "png", met)
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=6))
    assert worker.run("extract_frames", clip)["frame_count"] == 6


def test_hundreds_of_frames_need_little_room(worker: Bench, tmp_path: Path) -> None:
    """Progress counts to the end; the worker's disk never holds more than the source and its audio."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(size=(32, 32), count=600, audio=AudioSpec(seconds=24)))
    seen: list[Progress] = []
    on_disk: list[int] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        on_disk.append(len(worker.leftovers()))

    answer = worker.run("extract_frames", clip, job=Job("test", report))
    assert answer["frame_count"] == 600
    assert len(frames(worker, answer["folder_name"])) == 600
    assert [progress.done for progress in seen] == list(range(1, 601))
    assert {progress.total for progress in seen} == {600}
    assert seen[299].percent == 50
    assert max(on_disk) <= 2  # the source and the workspace's lock


def test_few_frames_are_in_memory(worker: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The larger the frames, the fewer are in memory at a time."""
    monkeypatch.setattr(extract, "_MEMORY_BYTES", 3 * 64 * 48 * 9)
    put: list[object] = []

    def counted(frame: object) -> bytes:
        put.append(frame)
        return b"png"

    monkeypatch.setattr(extract, "png", counted)
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=40))
    ahead: list[int] = []
    job = Job("test", lambda progress: ahead.append(len(put) - progress.done))
    assert worker.run("extract_frames", clip, job=job)["frame_count"] == 40
    assert max(ahead) <= 3


def test_too_many_frames_are_refused_undecoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says the limit and the way out; nothing was decoded or stored."""
    monkeypatch.setattr(extract, "new_folder", None)
    worker = bench(tmp_path, max_extracted_frames=10)
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=25))
    answer = worker.run("extract_frames", clip, extraction_rate=2)
    assert (answer["status"], answer["code"]) == (413, "too_large")
    assert answer["error"] == ("Too many frames to extract: 13 (maximum 10). Use a higher extraction_rate.")
    assert stored(worker) == []
    monkeypatch.undo()
    assert worker.run("extract_frames", clip, extraction_rate=3)["frame_count"] == 9


@pytest.mark.parametrize("after", [1, 20])
def test_a_cancelled_extraction_leaves_nothing(new_store: StoreSettings, tmp_path: Path, after: int) -> None:
    """However many frames were stored already, none of them and no mark stays."""
    worker = bench(tmp_path, **new_store())
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=60, audio=AudioSpec()))
    job = Job("test")

    def report(progress: Progress) -> None:
        if progress.done == after:
            assert any(FRAMES in str(found.key) for found in worker.runtime.storage.list())
            job.cancel()

    job.report = report
    answer = worker.run("extract_frames", clip, job=job)
    assert answer["code"] == "cancelled"
    assert list(worker.runtime.storage.list()) == []
    assert worker.leftovers() == []


def test_no_frame_is_stored_after_the_end_of_a_cancelled_extraction(
    worker: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that are being stored when the job is cancelled are waited for and removed with the others."""
    job, put = Job("test"), FolderWriter.put_frame
    is_stored = threading.Event()  # by then the first frame is waited for

    def slowly(self: FolderWriter, position: int, png: bytes) -> None:
        if position == 0:
            is_stored.wait(30)
            job.cancel()
        else:
            time.sleep(0.2 * position)
        put(self, position, png)
        if position == 2:
            is_stored.set()

    monkeypatch.setattr(extract, "_ahead", lambda _clip: 6)
    monkeypatch.setattr(FolderWriter, "put_frame", slowly)
    answer = worker.run("extract_frames", make_clip(tmp_path / "clip.mp4", Spec(count=60)), job=job)
    assert answer["code"] == "cancelled"
    assert not any(thread.name.startswith("store") for thread in threading.enumerate())
    assert list(worker.runtime.storage.list()) == []


def test_what_cannot_be_decoded_leaves_nothing(worker: Bench, tmp_path: Path) -> None:
    """A file that is no video, or none of whose frames can be read, is refused."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=30))
    for broken in (truncate(clip, tmp_path / "cut.mp4", 0.5), corrupt(clip, tmp_path / "spoilt.mp4", 0.01, 0.85)):
        answer = worker.run("extract_frames", broken)
        assert (answer["status"], answer["code"]) == (400, "invalid_media")
        assert stored(worker) == []


def test_damaged_frames_are_reported(worker: Bench, tmp_path: Path) -> None:
    """Where frames cannot be read their neighbors are extracted, and a warning says so."""
    broken = corrupt(make_clip(tmp_path / "clip.mp4", Spec(count=60)), tmp_path / "spoilt.mp4", 0.5, 0.6)
    answer = worker.run("extract_frames", broken)
    assert answer["frame_count"] == 60
    assert len(frames(worker, answer["folder_name"])) == 60
    assert any("frames" in sentence for sentence in answer["warnings"])


def test_two_extractions_of_a_second_have_their_own_folders(worker: Bench, tmp_path: Path) -> None:
    """The same video extracted again and again never overwrites anything."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=2))
    names = {worker.run("extract_frames", clip)["folder_name"] for _ in range(5)}
    assert worker.run("list_frame_folders")["folders"] == sorted(names)
    assert len(names) == 5


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("a" * 300, "a" * 55),
        ("con.x", "con_x"),
        ("..%2F..%2Fetc", "etc"),
        ("%E6%97%A5%E6%9C%AC", "video"),
        ("x_241204_143522", "x"),
    ],
)
def test_any_source_gives_a_folder_that_can_be_named(worker: Bench, tmp_path: Path, source: str, stem: str) -> None:
    """Whatever a video is called, its folder's name passes where a client gives it back."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=1))
    body = Answer(
        body=clip.read_bytes(), headers={"Content-Disposition": f"attachment; filename*=UTF-8''{source}.mp4"}
    )
    with HttpServer(lambda _: body) as server:
        answer = worker.run("extract_frames", video_url=f"{server.url}/x", extraction_rate=100)
    assert answer["message"] == "Successfully extracted 1 frame"
    assert answer["folder_name"].startswith(f"{stem}_extracted_every_100_")
    assert worker.run("list_frames", folder=answer["folder_name"])["total_count"] == 1


def test_the_contact_sheet_shows_the_frames(worker: Bench, tmp_path: Path) -> None:
    """It is a frame of the folder, with an address where the store has one, and goes with the folder."""
    worker = bench(tmp_path, public_url="https://example.com")
    answer = worker.run("extract_frames", real_clip("bikes"), extraction_rate=25)
    assert answer["contact_sheet_url"].startswith("https://example.com/outputs/")
    path = worker.folder / "outputs" / answer["contact_sheet_path"].removeprefix("/outputs/")
    with Image.open(path) as image:
        sheet = np.asarray(image)
    first = frames(worker, answer["folder_name"])[0]
    height = round(240 * first.shape[0] / first.shape[1])
    small = np.asarray(Image.fromarray(first).resize((240, height), Image.Resampling.BICUBIC))
    assert psnr(sheet[8 : 8 + height, 8 : 8 + 240], small) > 30
    worker.run("delete_frame_folder", folder=answer["folder_name"])
    assert not [name for name in stored(worker) if answer["folder_name"] in name]


def test_the_callback_names_the_folder(worker: Bench, tmp_path: Path) -> None:
    """The callback's metadata has what was asked for and what came of it."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=5))
    with HttpServer({"/cb": Answer()}) as server:
        answer = worker.run("extract_frames", clip, extraction_rate=2, callback_url=f"{server.url}/cb")
        [received] = server.requests
    body = json.loads(received.body)
    assert (body["operation"], body["success"]) == ("extract_frames", True)
    asked = {"extraction_rate": 2, "keep_alpha": False}
    assert body["metadata"] == {**asked, "folder_name": answer["folder_name"], "frame_count": 3}


def test_a_job_may_bring_its_own_store(tmp_path: Path, server: S3Server) -> None:
    """Frames, record and sheet go to the job's bucket and are found there, and nowhere else."""
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",))
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=5))
    config = {
        "endpointUrl": server.endpoint_url,
        "bucketName": server.make_bucket(),
        "accessId": server.access_key,
        "accessSecret": server.secret_key,
    }
    with HttpServer({"/clip.mp4": Answer(body=clip.read_bytes())}) as source:
        fields = {"endpoint": "extract_frames", "video_url": f"{source.url}/clip.mp4", "extraction_rate": 2}
        answer = worker.runtime.run(JobInput(fields, config), Job("test"))
    folder = answer["folder_name"]
    listed = worker.runtime.run(JobInput({"endpoint": "list_frames", "folder": folder}, config), Job("test"))
    assert [frame["source_index"] for frame in listed["frames"]] == [0, 2, 4]
    assert worker.run("list_frames", folder=folder)["status"] == 404
    assert stored(worker) == []
    got = server.client.get_object(Bucket=config["bucketName"], Key=f"{FRAMES}/{folder}/frame_000000.png")
    assert got["ContentType"] == "image/png"
    with Image.open(io.BytesIO(got["Body"].read())) as image:
        assert image.size == (64, 48)


@pytest.mark.parametrize("rate", [0, 101, -1, 1.5, "2", True])
def test_rates_outside_are_refused(worker: Bench, tmp_path: Path, rate: object) -> None:
    """1 to 100, whole."""
    answer = worker.run("extract_frames", make_clip(tmp_path / "clip.mp4", Spec(count=1)), extraction_rate=rate)
    assert answer["status"] == 400
    assert "extraction_rate" in answer["error"]
