"""``reassemble_frames`` from folder to video: any images, in natural order, at exact rates, with audio in step."""

from __future__ import annotations

import io
import json
import re
import struct
import threading
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import av
import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from PIL import Image

from framepack.job import Job, Progress
from framepack.media.clip import Colors, Matrix
from framepack.media.images import image_clip
from framepack.media.images.decode import read_image
from framepack.operations.frames import reassemble
from framepack.storage.frames.folders import folder_key, natural
from framepack.storage.outputs import ResultFolder
from tests.operations.conftest import StoreSettings
from tests.support.clips import AudioSpec, Spec, flat, make_clip, number_of, numbered, real_clip, scene
from tests.support.http_server import Answer, HttpServer
from tests.support.readback import audio_of, beep_times, psnr, read_back
from tests.support.runs import Bench, bench
from tests.support.s3_server import S3Server
from tests.support.stores import bucket_settings

FOLDER = "my frames"


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly and may call back this machine."""
    return bench(tmp_path, allowed_hosts=("127.0.0.1",), video_preset="ultrafast")


def encoded(frame: NDArray[np.uint8] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image file."""
    file = io.BytesIO()
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    image.save(file, kind, **options)
    return file.getvalue()


def put(worker: Bench, images: dict[str, bytes], folder: str = FOLDER) -> None:
    """Put images into a folder by hand."""
    for name, data in images.items():
        worker.runtime.storage.put_bytes(folder_key(folder) / name, data)


def colored(red: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    """A frame of one color."""
    return flat((red, 90, 60))(0, *size)


def reds(path: Path) -> list[int]:
    """The red in the middle of each frame of a video."""
    return [
        round(float(frame[frame.shape[0] // 2 - 4 :, frame.shape[1] // 2 - 4 :][:8, :8, 0].mean()))
        for frame in read_back(path).frames
    ]


def test_the_answer_is_the_documented_one(worker: Bench) -> None:
    """Message, name and path are as documented."""
    put(worker, {f"{number}.png": encoded(colored(number)) for number in range(3)})
    answer = worker.run("reassemble_frames", folder_name=FOLDER, output_fps=24, output_name="edited_video")
    data = worker.output(answer).read_bytes()
    pattern = (
        r"/outputs/postprocessed_output/frames/reassembled_videos/"
        r"edited_video_24fps_reassembled_\d{6}_\d{6}_\d[0-9a-z]{5}\.mp4"
    )
    assert re.fullmatch(pattern, answer["output_path"])
    assert answer["message"] == "Frames reassembled successfully"
    assert answer["output_file_size"] == len(data)
    assert set(answer) == {
        *("success", "message", "output_video_base64", "output_path", "output_filename", "output_file_size"),
    }
    unnamed = worker.run("reassemble_frames", folder_name=FOLDER)
    assert unnamed["output_filename"].startswith("reassembled_video_30fps_reassembled_")
    assert worker.leftovers() == []


@pytest.mark.parametrize(
    "spec",
    [
        Spec(count=20, size=(96, 64)),
        Spec(count=5, size=(61, 43), pix_fmt="yuv444p"),
        Spec(count=5, colors=Colors(Matrix.BT601, 6, 6)),
        Spec(count=5, colors=Colors(Matrix.BT2020, 9, 14), pix_fmt="yuv420p10le", codec="libx265"),
        Spec(count=5, aspect=Fraction(16, 11)),
    ],
    ids=["plain", "odd", "bt601", "bt2020", "wide pixels"],
)
def test_extracted_frames_are_reassembled_exactly(tmp_path: Path, spec: Spec) -> None:
    """Extracted and reassembled a video looks as before: frames, colors, pixel shape, and the exact rate."""
    worker = bench(tmp_path)
    clip = make_clip(tmp_path / "clip.mkv", spec)
    folder = worker.run("extract_frames", clip)["folder_name"]
    before, after = (
        read_back(path)
        for path in (clip, worker.output(worker.run("reassemble_frames", folder_name=folder, output_fps=25)))
    )
    width, height = spec.size
    assert len(after.frames) == spec.count
    assert after.frames[0].shape == (height + height % 2, width + width % 2, 3)
    assert after.colors == before.colors
    assert after.rate == 25
    assert after.times == [Fraction(index, 25) for index in range(spec.count)]
    assert (after.aspect or 1) == (before.aspect or 1)
    assert min(psnr(one, other[:height, :width]) for one, other in zip(before.frames, after.frames, strict=True)) > 36


@pytest.mark.parametrize("fps", [1, 30, 120])
def test_rates_are_exact(worker: Bench, fps: int) -> None:
    """Whole rates from 1 to 120; frame n is shown at n/fps to the tick."""
    put(worker, {f"{number}.png": encoded(colored(number)) for number in range(5)})
    video = read_back(worker.output(worker.run("reassemble_frames", folder_name=FOLDER, output_fps=fps)))
    assert video.rate == fps
    assert video.times == [Fraction(index, fps) for index in range(5)]


@pytest.mark.parametrize("fps", [0, 121, 29.97, "30"])
def test_rates_outside_are_refused(worker: Bench, fps: object) -> None:
    """1 to 120, whole."""
    answer = worker.run("reassemble_frames", folder_name=FOLDER, output_fps=fps)
    assert answer["status"] == 400
    assert "output_fps" in answer["error"]


def test_frames_come_in_natural_order(new_store: StoreSettings, tmp_path: Path) -> None:
    """Hundreds of them, by the value of the numbers in their names, from either store."""
    worker = bench(tmp_path, **new_store(), video_preset="ultrafast", inline_limit_mb=14)
    put(worker, {f"frame{number}.png": encoded(numbered(number, 32, 32)) for number in range(230)})
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    video = tmp_path / "video.mp4"
    video.write_bytes(worker.runtime.storage.read(folder_of(answer)))
    assert [number_of(frame) for frame in read_back(video).frames] == [number % 16 for number in range(230)]


def folder_of(answer: dict[str, Any]) -> Any:
    """The key of an answer's output."""
    from framepack.storage.keys import Key

    return Key(answer["output_path"].removeprefix("/outputs/"))


def test_kinds_and_sizes_may_be_mixed(worker: Bench) -> None:
    """All are shown upright in the shape of the first, others with black around; a warning says so."""
    turned = Image.Exif()
    turned[0x0112] = 6
    tall = np.ascontiguousarray(np.rot90(colored(150)))
    images = {
        "01.png": encoded(colored(20)),
        "02.jpg": encoded(colored(40), "JPEG", quality=95),
        "03.bmp": encoded(colored(60), "BMP"),
        "04.webp": encoded(colored(80), "WEBP", lossless=True),
        "05.png": encoded(Image.fromarray(np.full((48, 64), 100 * 257, np.uint16))),
        "06.png": encoded(Image.fromarray(colored(120)).quantize(8)),
        "07.png": encoded(Image.fromarray(np.dstack([colored(140), np.full((48, 64), 255, np.uint8)]))),
        "08.jpg": encoded(tall, "JPEG", quality=95, exif=turned),
        "09.png": encoded(colored(160, (31, 93))),
        "10.png": encoded(colored(180, (640, 480))),
        "11.png": encoded(colored(200)),
    }
    put(worker, images)
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    video = read_back(worker.output(answer))
    assert {frame.shape for frame in video.frames} == {(48, 64, 3)}
    got = reds(worker.output(answer))
    assert got == pytest.approx([20, 40, 60, 80, 100, 120, 140, 150, 160, 180, 200], abs=5)
    assert (video.frames[8][:, :20] < 6).all()  # black beside the tall one
    assert answer["warnings"] == ["Frames of another size than the first were scaled to fit into 64 x 48 pixels."]


def test_an_odd_first_frame_makes_an_even_video(worker: Bench) -> None:
    """The shape is that of the first, grown by a column and a row; others are fitted into it."""
    put(worker, {"1.png": encoded(colored(50, (61, 43))), "2.png": encoded(colored(200, (120, 120)))})
    video = read_back(worker.output(worker.run("reassemble_frames", folder_name=FOLDER)))
    assert {frame.shape for frame in video.frames} == {(44, 62, 3)}


def animated() -> bytes:
    """A PNG file of two frames."""
    return encoded(Image.fromarray(colored(1)), save_all=True, append_images=[Image.fromarray(colored(200))])


def huge() -> bytes:
    """A PNG file that says it is huge."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100)))


@pytest.mark.parametrize("place", ["00.png", "10.png"])
@pytest.mark.parametrize(
    ("make", "status", "what"),
    [
        (lambda: encoded(scene(1, 64, 48))[:200], 400, "is damaged or not a"),
        (lambda: b"<html>", 400, "is damaged or not a"),
        (lambda: b"", 400, "is damaged or not a"),
        (animated, 400, "is animated"),
        (huge, 413, "pixels"),
    ],
)
def test_a_file_that_is_not_an_image_is_named(
    worker: Bench, make: Callable[[], bytes], status: int, what: str, place: str
) -> None:
    """One sentence with the frame's name, whether it is the first or among others; no video is stored."""
    put(worker, {f"{number:02}.png": encoded(colored(number)) for number in range(1, 20)})
    put(worker, {place: make()})
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    assert answer["status"] == status
    assert answer["error"].startswith(f"Frame '{place}' {what}") or (status, what) == (413, "pixels")
    assert place in answer["error"]
    assert not list((worker.folder / "outputs").rglob("*.mp4"))
    assert worker.leftovers() == []


def test_missing_and_empty_folders_are_told(worker: Bench, tmp_path: Path) -> None:
    """404 for one that is not there, 400 for one without frames."""
    answer = worker.run("reassemble_frames", folder_name="no such")
    assert answer == {"error": "Folder 'no such' not found", "code": "not_found", "status": 404}
    put(worker, {"notes.txt": b"none"})
    folder = worker.run("extract_frames", make_clip(tmp_path / "clip.mp4", Spec(count=1)))["folder_name"]
    worker.run("delete_frame", folder=folder, frame="frame_000000.png")
    for name in (FOLDER, folder):
        answer = worker.run("reassemble_frames", folder_name=name)
        assert answer == {"error": f"Folder '{name}' has no frames", "code": "bad_request", "status": 400}


@pytest.mark.parametrize("field", ["folder_name", "output_name"])
@pytest.mark.parametrize("name", ["../x", "..", "/etc", "a\\b", " x", "x\n"])
def test_invalid_names_are_refused(worker: Bench, field: str, name: str) -> None:
    """400, before anything is looked up."""
    put(worker, {"1.png": encoded(colored(1))})
    fields: dict[str, Any] = {"folder_name": FOLDER, field: name}
    answer = worker.run("reassemble_frames", **fields)
    assert answer["status"] == 400
    assert field in answer["error"]


def test_a_frame_deleted_meanwhile_is_reported(worker: Bench) -> None:
    """409 and its name, when somebody deletes it while the video is being made."""
    put(worker, {f"{number:03}.png": encoded(colored(number)) for number in range(60)})

    def report(progress: Progress) -> None:
        if progress.done == 1:
            worker.run("delete_frame", folder=FOLDER, frame="059.png")

    answer = worker.run("reassemble_frames", folder_name=FOLDER, job=Job("test", report))
    sentence = "Frame '059.png' was deleted while the frames were being reassembled; try again."
    assert answer == {"error": sentence, "code": "conflict", "status": 409}


def test_frames_are_decoded_at_the_same_time(worker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that fetch the images decode them as well, each its own."""
    put(worker, {f"{number:03}.png": encoded(colored(number)) for number in range(6)})
    meeting = threading.Barrier(2)
    met: list[object] = []

    def read(*arguments: Any, **options: Any) -> Any:
        if met:  # the first image was read before
            meeting.wait(timeout=60)
        met.append(arguments)
        return read_image(*arguments, **options)

    monkeypatch.setattr(image_clip, "read_image", read)
    worker.output(worker.run("reassemble_frames", folder_name=FOLDER))
    assert len(met) == 1 + 6


def test_warnings_come_in_the_order_of_the_frames(worker: Bench) -> None:
    """A transparent image that is decoded early is mentioned after an image of another size that comes first."""
    clear = io.BytesIO()
    Image.new("RGBA", (64, 48), (200, 60, 50, 128)).save(clear, "PNG")
    images = [encoded(colored(number)) for number in range(6)]
    images[2] = encoded(colored(2)[:24])
    images[3] = clear.getvalue()
    put(worker, {f"{number:03}.png": data for number, data in enumerate(images)})
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    assert [sentence.split()[0] for sentence in answer["warnings"]] == ["Frames", "Transparent"]


def test_few_frames_are_in_memory(worker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The larger the files, the fewer are fetched ahead; progress counts to the end."""
    data = encoded(colored(90))
    put(worker, {f"{number:03}.png": data for number in range(60)})
    monkeypatch.setattr(reassemble, "_MEMORY_BYTES", 3 * (len(data) + 1))
    storage = worker.runtime.storage
    fetched: list[object] = []
    read = storage.read

    def counted(key: Any) -> bytes:
        fetched.append(key)
        return read(key)

    monkeypatch.setattr(storage, "read", counted)
    seen: list[tuple[int, int | None, int]] = []
    job = Job("test", lambda progress: seen.append((progress.done, progress.total, len(fetched))))
    worker.output(worker.run("reassemble_frames", folder_name=FOLDER, job=job))
    assert [(done, total) for done, total, _ in seen] == [(done, 60) for done in range(1, 61)]
    assert max(count - done for done, _, count in seen) <= 8  # three, the first one, the record, and a switch


@pytest.mark.parametrize("after", [1, 30])
def test_a_cancelled_job_leaves_nothing(worker: Bench, after: int) -> None:
    """No video, no working files; the frames stay."""
    put(worker, {f"{number:03}.png": encoded(colored(number)) for number in range(60)})
    job = Job("test")
    job.report = lambda progress: job.cancel() if progress.done == after else None
    assert worker.run("reassemble_frames", folder_name=FOLDER, job=job)["code"] == "cancelled"
    assert not list((worker.folder / "outputs").rglob("*.mp4"))
    assert worker.leftovers() == []
    assert worker.run("list_frames", folder=FOLDER)["total_count"] == 60


def test_limits_are_checked_first(tmp_path: Path) -> None:
    """Too many frames, or too large a file, is refused before anything is read."""
    worker = bench(tmp_path, max_output_frames=10, max_source_mb=0.01)
    put(worker, {f"{number:02}.png": encoded(colored(number)) for number in range(11)})
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    assert (answer["status"], "11 frames" in answer["error"]) == (413, True)
    put(worker, {"large.png": bytes(10_001)})
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    assert (answer["status"], "0.01 MB" in answer["error"]) == (413, True)


def test_autosave_keeps_the_video(worker: Bench) -> None:
    """While it is on, reassembled videos lie among the saved ones like any other."""
    put(worker, {"1.png": encoded(colored(1))})
    worker.run("set_autosave", enabled=True)
    answer = worker.run("reassemble_frames", folder_name=FOLDER, output_name="a.mp4")
    assert answer["output_path"].startswith("/outputs/postprocessed_output/saved_videos/a_30fps_reassembled_")


def test_the_callback_says_how(worker: Bench) -> None:
    """The callback has the parameters and the output."""
    put(worker, {"1.png": encoded(colored(1))})
    with HttpServer({"/cb": Answer()}) as server:
        answer = worker.run("reassemble_frames", folder_name=FOLDER, output_name="a", callback_url=f"{server.url}/cb")
        [received] = server.requests
    body = json.loads(received.body)
    assert (body["operation"], body["success"]) == ("reassemble_frames", True)
    assert body["output_path"] == answer["output_path"]
    assert body["metadata"] == {
        "folder_name": FOLDER,
        "output_fps": 30,
        "output_name": "a",
        "with_audio": False,
    }


# AudioSpec


def extracted(worker: Bench, tmp_path: Path, rate: int = 1, **audio: Any) -> str:
    """A folder of frames of a clip of 3 seconds with beeps at 0.5, 1.5 and 2.5 seconds."""
    beeps = AudioSpec(**{"seconds": 3, "beeps": (0.5, 1.5, 2.5), **audio})
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=75, audio=beeps))
    folder: str = worker.run("extract_frames", clip, extraction_rate=rate)["folder_name"]
    return folder


@pytest.mark.parametrize(
    ("rate", "fps", "factor"),
    [(1, 25, 1.0), (5, 5, 1.0), (1, 24, 25 / 24), (1, 50, 0.5), (2, 25, 0.5), (3, 4, 25 / 12)],
)
def test_audio_is_in_sync_with_the_frames(worker: Bench, tmp_path: Path, rate: int, fps: int, factor: float) -> None:
    """At the video's own speed or another, each beep comes with its frame, and the audio ends with the last."""
    folder = extracted(worker, tmp_path, rate)
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=fps, with_audio=True)
    assert "warnings" not in answer
    video = worker.output(answer)
    assert beep_times(video) == pytest.approx(
        [0.5 * factor, 1.5 * factor, 2.5 * factor], abs=0.04 if factor != 1 else 0.012
    )
    with av.open(str(video)) as container:
        frames, audio = container.streams.video[0], container.streams.audio[0]
        assert audio.codec_context.name == "aac"
        assert audio.duration is not None
        assert frames.duration is not None
        seconds = float(frames.duration * (frames.time_base or 0))
        assert float(audio.duration * (audio.time_base or 0)) == pytest.approx(seconds, abs=0.03)


def test_audio_follows_deleted_frames(worker: Bench, tmp_path: Path) -> None:
    """Where frames are gone their audio is gone, and what follows is in step again."""
    folder = extracted(worker, tmp_path)
    for number in range(25, 50):
        worker.run("delete_frame", folder=folder, frame=f"frame_{number:06}.png")
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=25, with_audio=True)
    assert beep_times(worker.output(answer)) == pytest.approx([0.5, 1.5], abs=0.012)


def test_short_audio_is_filled_with_silence(worker: Bench, tmp_path: Path) -> None:
    """The audio is as long as the frames, whatever the video's own was."""
    folder = extracted(worker, tmp_path, seconds=1, beeps=(0.5,))
    put(worker, {"zz.png": encoded(colored(7))}, folder)  # a frame that is not of the video
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=25, with_audio=True)
    samples, rate = audio_of(worker.output(answer))
    assert len(samples) / rate == pytest.approx(76 / 25, abs=0.03)
    assert beep_times(worker.output(answer)) == pytest.approx([0.5], abs=0.012)


def test_a_real_video_keeps_its_audio(worker: Bench) -> None:
    """A real clip's audio, reassembled at its rate, is nearly the same to the ear and the sample."""
    folder = worker.run("extract_frames", real_clip("bigbuckbunny"), extraction_rate=5)["folder_name"]
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=5, with_audio=True)
    before, rate = audio_of(real_clip("bigbuckbunny"))
    after, after_rate = audio_of(worker.output(answer))
    assert rate == after_rate
    length = min(len(before), len(after))
    assert length > rate * 4
    assert np.corrcoef(before[:length], after[:length])[0, 1] > 0.98


@pytest.mark.parametrize(
    ("prepare", "fps", "sentence"),
    [
        ("silent", 25, "The folder has no audio."),
        ("by hand", 25, "The folder has no audio."),
        (
            "whole",
            120,
            "The audio was omitted: at 120 frames per second the video plays 4.8 times as fast as the original.",
        ),
        ("gaps", 25, "The audio was omitted: deleted frames would cut it into more than 5 pieces."),
    ],
)
def test_missing_audio_is_explained_by_a_warning(
    worker: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: str, fps: int, sentence: str
) -> None:
    """A warning says why; the frames are there all the same, and nobody gets audio unasked."""
    monkeypatch.setattr(reassemble, "MAX_RUNS", 5)
    folder = FOLDER
    if prepare == "by hand":
        put(worker, {"1.png": encoded(colored(1))})
    elif prepare == "silent":
        folder = worker.run("extract_frames", make_clip(tmp_path / "a.mp4", Spec(count=3)))["folder_name"]
    else:
        folder = extracted(worker, tmp_path)
    for number in range(1, 12, 2) if prepare == "gaps" else ():
        worker.run("delete_frame", folder=folder, frame=f"frame_{number:06}.png")
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=fps, with_audio=True)
    assert answer["warnings"] == [sentence]
    unasked = worker.run("reassemble_frames", folder_name=folder, output_fps=fps)
    assert "warnings" not in unasked
    for each in (answer, unasked):
        with av.open(str(worker.output(each))) as container:
            assert not container.streams.audio


@pytest.mark.parametrize(
    "names",
    [
        ["кадр_1.png", "кадр_2.png", "кадр_10.png"],
        ["フレーム1.png", "フレーム2.png", "フレーム10.png"],
        ["画面 1.PNG", "画面 2.png", "画面 10.png"],
        ["דף1.png", "דף2.png", "דף10.png"],
        ["αβγ (1).png", "αβγ (2).png", "αβγ (10).png"],
        ["scene-é_1.png", "scene-é_2.png", "scene-é_10.png"],
        ["🎬 1.png", "🎬 2.png", "🎬 10.png"],
        ["кадр frame 1.png", "кадр frame 2.png", "кадр frame 10.png"],
    ],
)
def test_frames_have_names_of_any_language(worker: Bench, names: list[str]) -> None:
    """In natural order."""
    order = [200, 120, 40]
    put(worker, {name: encoded(colored(red)) for name, red in reversed(list(zip(names, order, strict=True)))})
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    assert reds(worker.output(answer)) == pytest.approx(order, abs=3)
    assert "warnings" not in answer
    listed = worker.run("list_frames", folder=FOLDER)
    assert [frame["filename"] for frame in listed["frames"]] == names


def test_a_frame_of_a_name_in_another_alphabet_can_be_had_and_deleted(worker: Bench) -> None:
    """Its extension is Latin all the same."""
    put(worker, {"кадр_1.png": encoded(colored(200)), "кадр_2.png": encoded(colored(90))})
    assert worker.run("get_frame", folder=FOLDER, frame="кадр_2.png")["mime_type"] == "image/png"
    assert "error" not in worker.run("delete_frame", folder=FOLDER, frame="кадр_2.png")
    assert worker.run("list_frames", folder=FOLDER)["total_count"] == 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("stored_form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["é 1.png", "가나다1.png", "Ångström.png", "кадр й.png", "プログラム.png"])
def test_a_frame_is_found_by_either_spelling_of_its_name(
    worker: Bench, name: str, stored_form: Literal["NFC", "NFD"], form: Literal["NFC", "NFD"]
) -> None:
    """On macOS letters are stored apart from their accents; folder and frame can be used and deleted all the same."""
    place = worker.folder / "outputs" / str(ResultFolder.EXTRACTED_FRAMES.key) / normalize(stored_form, "Müll")
    place.mkdir(parents=True)
    for red, each in ((200, name), (90, "zz.png")):
        (place / normalize(stored_form, each)).write_bytes(encoded(colored(red)))
    folder, frame = normalize(form, "Müll"), normalize(form, name)
    assert worker.run("list_frame_folders")["folders"] == ["Müll"]
    listed = worker.run("list_frames", folder=folder)["frames"]
    assert [each["filename"] for each in listed] == sorted([normalize("NFC", name), "zz.png"], key=natural)
    assert "error" not in worker.run("save_frame", folder=folder, frame=frame)
    answer = worker.run("reassemble_frames", folder_name=folder)
    assert sorted(reds(worker.output(answer))) == pytest.approx([90, 200], abs=3)
    assert "error" not in worker.run("delete_frame", folder=folder, frame=frame)
    assert [path.name for path in place.iterdir()] == ["zz.png"]
    assert "error" not in worker.run("delete_frame_folder", folder=folder)
    assert not place.exists()


@pytest.mark.parametrize(("folder_form", "form"), [("NFD", "NFC"), ("NFD", "NFD"), ("NFC", "NFC")])
@pytest.mark.parametrize("name", ["é 1.png", "가나다1.png", "ά.png"])
def test_a_frame_in_a_bucket_is_found_by_either_spelling_of_its_name(
    tmp_path: Path,
    server: S3Server,
    name: str,
    folder_form: Literal["NFC", "NFD"],
    form: Literal["NFC", "NFD"],
) -> None:
    """Tools for buckets on macOS send names as the disk has them; folder and frame can be used and deleted."""
    worker = bench(tmp_path, allowed_hosts=("127.0.0.1",), video_preset="ultrafast", **bucket_settings(server))
    bucket = str(worker.runtime.settings.storage).split("/")[2]
    place = f"worker/{ResultFolder.EXTRACTED_FRAMES.key}/{normalize(folder_form, 'Müll')}"
    for red, each in ((200, name), (90, "zz.png")):
        server.client.put_object(Bucket=bucket, Key=f"{place}/{normalize('NFD', each)}", Body=encoded(colored(red)))
    folder, frame = normalize(form, "Müll"), normalize(form, name)
    assert worker.run("list_frame_folders")["folders"] == ["Müll"]
    listed = worker.run("list_frames", folder=folder)["frames"]
    assert [each["filename"] for each in listed] == sorted([normalize("NFC", name), "zz.png"], key=natural)
    link = worker.run("get_frame", folder=folder, frame=frame)["url"]
    assert requests.get(link, timeout=30).content == encoded(colored(200))
    assert "error" not in worker.run("save_frame", folder=folder, frame=frame)
    answer = worker.run("reassemble_frames", folder_name=folder)
    video = tmp_path / "video.mp4"
    video.write_bytes(requests.get(answer["output_url"], timeout=30).content)
    assert sorted(reds(video)) == pytest.approx([90, 200], abs=3)
    assert "error" not in worker.run("delete_frame", folder=folder, frame=frame)
    left = server.client.list_objects_v2(Bucket=bucket, Prefix=f"{place}/")["Contents"]
    assert [each["Key"] for each in left] == [f"{place}/zz.png"]
    assert "error" not in worker.run("delete_frame_folder", folder=folder)
    assert "Contents" not in server.client.list_objects_v2(Bucket=bucket, Prefix=f"{place}/")


def test_a_frame_is_replaced_whatever_the_spelling_of_its_name(worker: Bench) -> None:
    """No second frame appears beside one that macOS named."""
    place = worker.folder / "outputs" / str(folder_key(FOLDER))
    place.mkdir(parents=True)
    (place / normalize("NFD", "é.png")).write_bytes(encoded(colored(200)))
    put(worker, {"é.png": encoded(colored(90))})
    assert len(list(place.iterdir())) == 1
    assert reds(worker.output(worker.run("reassemble_frames", folder_name=FOLDER))) == pytest.approx([90], abs=3)


def test_images_in_other_formats_are_named(worker: Bench) -> None:
    """Alone they refuse the folder, beside frames they are a warning."""
    tiff = encoded(colored(90), "TIFF")
    sentence = "2 files of the type .tif, .tiff cannot be used: frames are PNG, JPEG, BMP or WebP images."
    put(worker, {"1.tif": tiff, "2.TIFF": tiff, "notes.txt": b"none"})
    answer = worker.run("reassemble_frames", folder_name=FOLDER)
    assert answer["error"] == f"Folder '{FOLDER}' has no frames: {sentence}"
    assert answer["status"] == 400
    put(worker, {"3.png": encoded(colored(90))})
    assert worker.run("reassemble_frames", folder_name=FOLDER)["warnings"] == [sentence]
