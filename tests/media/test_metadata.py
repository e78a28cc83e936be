"""The rest of a file: title, date, comment and language are carried over; what is not is named once."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from framepack.media.metadata import packed, unpacked
from framepack.media.read.probe import probe
from tests.support.clips import AudioSpec, Spec, add_audio, add_video, frames_of, make_clip, real_clip
from tests.support.odd_files import animated, comfy_animation
from tests.support.runs import Bench, bench

TITLE, DATE = "Über dem Meer 海", "2023-05-06T07:08:09.000000Z"
WORKFLOW = json.dumps({"nodes": ["KSampler"] * 5000, "名": "值"}, ensure_ascii=False)
ASCII_WORKFLOW = json.dumps({"nodes": ["KSampler"] * 5000, "名": "值"})
NOT_IN_GIF = "A GIF has no title and no comment; those of the video are left out."
LEFT_OUT = (
    "Not carried over to outputs: 1 other audio track, 2 chapters, metadata other than title, date and comment."
)


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly."""
    return bench(tmp_path, video_preset="ultrafast")


def rich(path: Path, *, own_tags: bool = False, tracks: int = 2) -> Path:
    """A file with a title, a date, a long comment, a language, chapters and more audio tracks."""
    options = {"movflags": "use_metadata_tags"} if own_tags else {}
    spec, audio = Spec(count=10), AudioSpec("libopus" if path.suffix == ".webm" else "aac", seconds=0.4)
    with av.open(str(path), "w", options=options) as output:
        output.metadata.update(title=TITLE, comment=WORKFLOW, creation_time=DATE, artist="somebody")
        if own_tags:
            output.metadata.update(prompt='{"seed": 1}', workflow=WORKFLOW)
        stream = add_video(output, spec, path.suffix)
        audios = [add_audio(output, audio) for _ in range(tracks)]
        output.streams.audio[0].metadata["language"] = "deu"
        chapter = {"time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 200, **chapter}, {"id": 2, "start": 200, "end": 400, **chapter}]  # type: ignore[typeddict-item]
        )
        for frame in frames_of(spec, stream):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for audio_packets in audios:
            for packet in audio_packets:
                output.mux(packet)
    return path


def tags(path: Path) -> dict[str, str]:
    """The metadata of a file and of its audio, by names in lower case."""
    with av.open(str(path)) as container:
        found = {name.lower(): value for name, value in container.metadata.items()}
        if container.streams.audio:
            found["language"] = container.streams.audio[0].metadata.get("language", "")
        return found


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("export", {"format": "MP4"}),
        ("export", {"format": "WebM"}),
        ("loop", {}),
        ("loop", {"loop_type": "ping-pong"}),
        ("filters", {"brightness": 10}),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_title_date_comment_and_language_are_carried_over(
    worker: Bench, tmp_path: Path, suffix: str, operation: str, params: dict[str, Any]
) -> None:
    """In every operation, a comment of any length, and one sentence names the rest."""
    answer = worker.run(operation, rich(tmp_path / f"rich{suffix}"), **params)
    found = tags(worker.output(answer))
    assert {name: found.get(name) for name in ("title", "comment", "creation_time", "language")} == {
        "title": TITLE,
        "comment": WORKFLOW,
        "creation_time": DATE,
        "language": "deu",
    }
    assert "artist" not in found
    assert answer["warnings"] == [LEFT_OUT]


@pytest.mark.parametrize("format_", ["MP4", "WebM"])
def test_the_tags_of_comfyui_are_carried_over(worker: Bench, tmp_path: Path, format_: str) -> None:
    """``prompt`` and ``workflow``, which MP4 files hold only by an option."""
    output = worker.output(worker.run("export", rich(tmp_path / "rich.mp4", own_tags=True), format=format_))
    found = tags(output)
    assert (found["prompt"], found["workflow"], found["title"]) == ('{"seed": 1}', WORKFLOW, TITLE)


def comfy(path: Path) -> Path:
    """An animation of ComfyUI with a long workflow."""
    return comfy_animation(path, 3, '{"seed": 1}', ASCII_WORKFLOW)


@pytest.mark.parametrize("format_", ["MP4", "WebM"])
@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_the_workflow_of_an_animated_image_is_carried_over(
    worker: Bench, tmp_path: Path, suffix: str, format_: str
) -> None:
    """Nothing else needs a sentence."""
    answer = worker.run("export", comfy(tmp_path / f"a{suffix}"), format=format_)
    found = tags(worker.output(answer))
    assert (found["prompt"], found["workflow"]) == ('{"seed": 1}', ASCII_WORKFLOW)
    assert "warnings" not in answer


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_the_workflow_of_an_animated_image_stays_with_its_frames_and_is_named_for_a_gif(
    worker: Bench, tmp_path: Path, suffix: str
) -> None:
    """As that of a video."""
    source = comfy(tmp_path / f"a{suffix}")
    assert worker.run("export", source, format="GIF")["warnings"] == [NOT_IN_GIF]
    folder = worker.run("extract_frames", source)["folder_name"]
    found = tags(worker.output(worker.run("reassemble_frames", folder_name=folder, output_fps=25)))
    assert (found["prompt"], found["workflow"]) == ('{"seed": 1}', ASCII_WORKFLOW)


def texts_of_png(path: Path) -> Path:
    """An animated PNG with texts of all kinds."""
    info = PngInfo()
    info.add_itxt("Title", TITLE, zip=True)
    info.add_text("Description", "a prompt: 1girl")
    info.add_text("Creation Time", "2023-05-06 07:08:09")
    info.add_text("Software", "editor")
    info.add_text("Author", "somebody")
    return animated(path, [40] * 3, pnginfo=info)


def texts_of_webp(path: Path, encoding: str = "utf-16-be") -> Path:
    """An animated WebP with a comment and a date in EXIF."""
    exif = Image.Exif()
    exif[0x0131], exif[0x013B], exif[0x0132] = "editor", "somebody", "2023:05:06 07:08:09"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a prompt: 1girl".encode(encoding)
    return animated(path, [40] * 3, exif=exif)


def test_texts_of_animated_images_have_the_names_of_videos(worker: Bench, tmp_path: Path) -> None:
    """Title, comment and date are carried over, an author is named, software is not."""
    other = ["Not carried over to outputs: metadata other than title, date and comment."]
    for source in (
        texts_of_png(tmp_path / "a.png"),
        texts_of_webp(tmp_path / "a.webp"),
        texts_of_webp(tmp_path / "b.webp", "utf-16-le"),
    ):
        answer = worker.run("filters", source, brightness=5)
        found = tags(worker.output(answer))
        assert (found["comment"], found["date"]) == ("a prompt: 1girl", "2023-05-06 07:08:09")
        assert found.get("title") == (TITLE if source.suffix == ".png" else None)
        assert answer["warnings"] == other


def test_damaged_metadata_of_an_animated_image_leaves_its_frames(worker: Bench, tmp_path: Path) -> None:
    """It is no reason to refuse the file."""
    source = comfy(tmp_path / "a.webp")
    data = source.read_bytes()
    place = data.index(b"EXIF") + 8
    source.write_bytes(data[:place] + b"\xff" * 40 + data[place + 40 :])
    answer = worker.run("export", source)
    assert probe(worker.output(answer)).length == 3


def test_frames_bring_the_metadata_back(worker: Bench, tmp_path: Path) -> None:
    """Extraction keeps it with the frames, and reassembly writes it."""
    folder = worker.run("extract_frames", rich(tmp_path / "rich.mp4", own_tags=True))["folder_name"]
    answer = worker.run("reassemble_frames", folder_name=folder, output_fps=25, with_audio=True)
    found = tags(worker.output(answer))
    assert (found["title"], found["comment"], found["workflow"]) == (TITLE, WORKFLOW, WORKFLOW)
    assert found["creation_time"] == DATE
    assert found["language"] == "deu"


def test_no_answer_and_no_log_has_the_comment(
    worker: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A workflow is its owner's."""
    caplog.set_level(logging.DEBUG)
    source = rich(tmp_path / "rich.mp4", own_tags=True)
    folder = worker.run("extract_frames", source)
    answers = [worker.run("analyze", source), worker.run("loop", source), folder, worker.run("list_frame_folders")]
    assert "KSampler" not in json.dumps(answers)
    assert "KSampler" not in caplog.text
    assert "KSampler" not in repr(probe(source))


def test_a_gif_says_that_it_has_no_comment(worker: Bench, tmp_path: Path) -> None:
    """A date alone, which every phone writes, is not worth a sentence."""
    answer = worker.run("export", rich(tmp_path / "rich.mp4"), format="GIF")
    assert answer["warnings"] == [LEFT_OUT, NOT_IN_GIF]
    plain = worker.run("export", make_clip(tmp_path / "plain.mp4"), format="GIF")
    assert "warnings" not in plain


def test_subtitles_attachments_covers_and_data_tracks_are_named(tmp_path: Path) -> None:
    """Each kind with its number; subtitles are made by hand, as the libraries have no encoder for them."""
    plain, path = make_clip(tmp_path / "plain.mkv", Spec(count=5)), tmp_path / "tracks.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        output.add_attachment("font.ttf", "application/x-truetype-font", b"font")
        output.add_attachment("notes.txt", "text/plain", b"notes")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    assert probe(path).left_out == ("Not carried over to outputs: 2 attachments.",)


@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny"])
def test_real_clips_have_nothing_to_name_but_metadata(name: str) -> None:
    """What encoders write about themselves is no metadata of anybody's."""
    assert probe(real_clip(name)).left_out in {
        (),
        ("Not carried over to outputs: metadata other than title, date and comment.",),
    }


def test_a_comment_that_is_too_long_for_a_record_is_named(worker: Bench, tmp_path: Path) -> None:
    """Short metadata is kept all the same."""
    noise = "".join(map(chr, np.random.default_rng(1).integers(0x4E00, 0x9F00, 30_000)))
    plain, path = make_clip(tmp_path / "plain.mp4", Spec(count=5)), tmp_path / "long.mp4"
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        output.metadata.update(title=TITLE, comment=noise)
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    folder = worker.run("extract_frames", path)
    assert folder["warnings"] == ["The video's comment is too long to be kept with the frames."]
    found = tags(worker.output(worker.run("reassemble_frames", folder_name=folder["folder_name"])))
    assert found["title"] == TITLE
    assert "comment" not in found


def test_packed_metadata_that_is_damaged_is_none() -> None:
    """Records in a store are anybody's."""
    metadata = (("title", TITLE), ("comment", WORKFLOW))
    assert unpacked(packed(metadata)) == metadata
    assert unpacked(packed(())) == ()
    for text in ("", "%%%", "AAAA", packed(metadata)[:40], packed((("unknown", "x"),))):
        assert unpacked(text) == ()
