"""``export`` from request to file: format, quality, width and name, and everything plays anywhere."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from framepack.media.clip import Clip, Colors, Encoding, Frame
from framepack.media.frames.colors import tag
from framepack.models.frames.device_frame import DeviceFrame
from framepack.operations.postprocess.export import ExportParams, exported
from tests.support.clips import AudioSpec, Spec, make_clip, real_clip, scene, to_frame
from tests.support.looping import CountingFrames, numbered_still
from tests.support.readback import beep_times, psnr, read_back, rgb_of
from tests.support.runs import Bench, bench

CODECS = {"MP4": "h264", "WebM": "vp9", "GIF": "gif"}


@pytest.fixture
def own(tmp_path: Path) -> Bench:
    """A bench."""
    return bench(tmp_path)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height."""
    with av.open(str(path)) as container:
        return container.streams.video[0].width, container.streams.video[0].height


@pytest.mark.parametrize("spelling", ["MP4", "mp4", "WebM", "WEBM", "webm", "GIF", "gif", ".Gif"])
def test_formats_in_any_case(own: Bench, tmp_path: Path, spelling: str) -> None:
    """The right container, codec and extension, in the folder of every other output."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=5, audio=AudioSpec(seconds=0.2)))
    answer = own.run("export", source, format=spelling)
    name = {known.lower(): known for known in CODECS}[spelling.lower().strip(".")]
    output = own.output(answer)
    assert output.suffix == f".{name.lower()}"
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == CODECS[name]
        audios = [stream.codec_context.codec.canonical_name for stream in container.streams.audio]
        assert audios == {"MP4": ["aac"], "WebM": ["opus"], "GIF": []}[name]
        assert len(list(container.decode(video=0))) == 5
    other = own.run("loop", source)
    assert Path(answer["output_path"]).parent == Path(other["output_path"]).parent


def test_the_answer_is_the_documented_one(own: Bench, tmp_path: Path) -> None:
    """Message and name, with quality and width in it."""
    answer = own.run("export", make_clip(tmp_path / "clip.mp4", Spec(count=3)))
    assert answer["message"] == "Video exported successfully"
    assert answer["output_filename"].startswith("video_exported_85q_1024w_")
    assert own.leftovers() == []


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("My Film", "My Film"),
        ("My Film.mp4", "My Film"),
        ("v1.2", "v1.2"),
        ("Über", "Uber"),
    ],
)
def test_a_name_of_ones_own_is_used(own: Bench, tmp_path: Path, name: str, stem: str) -> None:
    """It takes the place of the source's, in plain letters."""
    answer = own.run("export", make_clip(tmp_path / "clip.mp4", Spec(count=2)), output_name=name, quality=50)
    assert answer["output_filename"].startswith(f"{stem}_exported_50q_1024w_")
    assert own.output(answer).parent.name == Path(answer["output_path"]).parent.name


@pytest.mark.parametrize("format_name", CODECS)
@pytest.mark.parametrize(
    ("size", "max_width", "expected"),
    [
        ((320, 240), 1024, (320, 240)),
        ((320, 240), 256, (256, 192)),
        ((321, 241), 1024, (322, 242)),
        ((321, 241), 257, (256, 192)),
        ((300, 2), 256, (256, 2)),
    ],
)
def test_max_width_never_enlarges(
    own: Bench, tmp_path: Path, size: tuple[int, int], max_width: int, expected: tuple[int, int], format_name: str
) -> None:
    """Small clips stay small, larger ones shrink in proportion, odd sizes become even."""
    source = make_clip(tmp_path / "clip.mkv", Spec(size=size, count=3, pix_fmt="yuv444p"))
    answer = own.run("export", source, format=format_name, max_width=max_width)
    assert size_of(own.output(answer)) == expected


@pytest.mark.parametrize("format_name", CODECS)
def test_pixels_become_square(own: Bench, tmp_path: Path, format_name: str) -> None:
    """What was seen as 4:3 is 4:3, in every format."""
    source = make_clip(tmp_path / "clip.mp4", Spec(size=(72, 58), count=3, aspect=Fraction(16, 15)))
    output = own.output(own.run("export", source, format=format_name))
    assert size_of(output) == (76, 58)
    with av.open(str(output)) as container:
        assert container.streams.video[0].sample_aspect_ratio in {None, 1}


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p", "yuv420p10le", "gbrp"])
@pytest.mark.parametrize("format_name", ["MP4", "WebM"])
def test_every_export_plays_anywhere(own: Bench, tmp_path: Path, pix_fmt: str, format_name: str) -> None:
    """8 bits and 4:2:0, whatever the source is."""
    codec = "libx264rgb" if pix_fmt == "gbrp" else "libx264"
    spec = Spec(count=3, pix_fmt="rgb24" if codec == "libx264rgb" else pix_fmt, codec=codec)
    output = own.output(own.run("export", make_clip(tmp_path / "clip.mkv", spec), format=format_name))
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("format_name", CODECS)
def test_quality_answers(own: Bench, tmp_path: Path, format_name: str) -> None:
    """Higher is larger, in every format; upstream's GIFs ignored it."""
    source = real_clip("bikes")
    short = tmp_path / "short.mp4"
    with av.open(str(source)) as given, av.open(str(short), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for index, packet in enumerate(given.demux(video=0)):
            if packet.size and index < 16:
                packet.stream = stream
                output.mux(packet)
    sizes = [
        own.run("export", short, format=format_name, quality=quality, max_width=320)["output_file_size"]
        for quality in (0, 50, 100)
    ]
    assert sizes[0] * 1.2 < sizes[1]
    assert sizes[1] * 1.1 < sizes[2]


@pytest.mark.parametrize("format_name", ["MP4", "WebM"])
def test_rate_length_and_audio_stay(own: Bench, tmp_path: Path, format_name: str) -> None:
    """30000/1001 stays, and beeps stay with their frames."""
    fps = Fraction(30000, 1001)
    audio = AudioSpec(seconds=1, beeps=(0.2, 0.7))
    source = make_clip(
        tmp_path / "clip.mp4", Spec(size=(320, 240), fps=fps, count=30, frame=numbered_still, audio=audio)
    )
    output = own.output(own.run("export", source, format=format_name, max_width=256))
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        times = [float(frame.time or 0) for frame in container.decode(stream)]
        assert stream.average_rate == fps
    assert times == pytest.approx([float(index / fps) for index in range(30)], abs=0.00051)
    assert beep_times(output) == pytest.approx((0.2, 0.7), abs=0.003)


def test_frames_are_scaled_well(own: Bench, tmp_path: Path) -> None:
    """Each frame of a halved clip is the frame drawn at half the size, colors and all."""
    source = make_clip(tmp_path / "clip.mp4", Spec(size=(512, 384), count=4, options={"crf": "1"}))
    output = own.output(own.run("export", source, quality=100, max_width=256))
    for index, image in enumerate(read_back(output).frames):
        half = scene(index, 512, 384).reshape(192, 2, 256, 2, 3).mean((1, 3)).round().astype(np.uint8)
        frame = to_frame(half, "yuv420p")
        tag(frame, Colors())
        assert psnr(image, rgb_of(frame)) > 36  # the test draws chroma between columns, files have it on them


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": "AVI"}, "format must be 'MP4', 'WebM' or 'GIF'"),
        ({"quality": 101}, "quality must be between 0 and 100"),
        ({"quality": -1}, "quality must be between 0 and 100"),
        ({"max_width": 255}, "max_width must be between 256 and 4096"),
        ({"max_width": 4097}, "max_width must be between 256 and 4096"),
        ({"output_name": "a" * 101}, "output_name must be a name of 1 to 100 characters"),
        ({"output_name": "../../etc/passwd"}, "output_name must be a name of plain letters"),
    ],
)
def test_invalid_requests_are_refused(own: Bench, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    """One sentence that names what is allowed."""
    answer = own.run("export", make_clip(tmp_path / "clip.mp4", Spec(count=2)), **fields)
    assert answer["status"] == 400
    assert words in answer["error"]


def test_frames_on_the_device_are_scaled_there() -> None:
    """They stay on it, keep their kind of numbers, and look as the host's scaling makes them."""
    image = torch.from_numpy(scene(0, 512, 384)).permute(2, 0, 1).to(torch.float16) / 255
    still = DeviceFrame(image, Colors())

    def frames() -> Any:
        frame: Frame = still
        return iter([frame, frame])

    clip = Clip(frames, Fraction(25), 512, 384, 2)
    result = exported.apply(clip, ExportParams(max_width=256), None)  # type: ignore[arg-type] # nothing of the context is used
    first, second = result.frames()
    assert first is second
    assert isinstance(first, DeviceFrame)
    assert (tuple(first.tensor.shape), first.tensor.dtype) == ((3, 192, 256), torch.float16)
    expected = scene(0, 512, 384).reshape(192, 2, 256, 2, 3).mean((1, 3))
    assert psnr(np.asarray(first.tensor.permute(1, 2, 0).float() * 255), expected) > 40


def test_the_effect_says_what_it_makes() -> None:
    """Size, format and quality are known before a frame is touched."""
    costly = CountingFrames(3, (640, 480))
    result = exported.apply(costly.clip(), ExportParams(format="GIF", quality=30, max_width=320), None)  # type: ignore[arg-type] # as above
    assert (result.width, result.height, result.encoding) == (320, 240, Encoding("gif", 30))
    assert costly.drawn == 0


def test_a_loop_can_be_exported_as_anything(own: Bench, tmp_path: Path) -> None:
    """In one pipeline, in either order."""
    source = make_clip(tmp_path / "clip.mp4", Spec(size=(320, 240), count=4, frame=numbered_still))
    steps = [
        {"type": "export", "params": {"format": "WebM", "max_width": 256}},
        {"type": "loop", "params": {"loop_type": "ping-pong", "num_loops": 2}},
    ]
    for operations in (steps, steps[::-1]):
        output = own.output(own.run("pipeline", source, operations=operations))
        assert output.suffix == ".webm"
        with av.open(str(output)) as container:
            assert len(list(container.decode(video=0))) == 12
        assert size_of(output) == (256, 192)


@pytest.mark.parametrize(("size", "warned"), [((4096, 64), False), ((4098, 64), True), ((64, 4098), True)])
def test_a_warning_says_that_h264_above_4096_pixels_is_not_played_everywhere(
    own: Bench, tmp_path: Path, size: tuple[int, int], *, warned: bool
) -> None:
    """Rows and columns count; WebM has no such limit."""
    source = make_clip(tmp_path / "clip.mp4", Spec(size=size, count=2))
    sentence = (
        f"The video has {size[0]} x {size[1]} pixels: many players and hardware decoders of H.264 stop at 4096."
    )

    assert (sentence in (own.run("filters", source, brightness=10).get("warnings") or [])) == warned
    assert sentence not in (own.run("export", source, format="webm", max_width=64).get("warnings") or [])
