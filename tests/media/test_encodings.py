"""Output formats: compatibility, quality, colors and timing of MP4, WebM and GIF files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from framepack.errors import InvalidMedia
from framepack.media.clip import Clip, Colors, Encoding, Format, Matrix
from framepack.media.frames.scale import Scaler, export_size
from framepack.media.images.convert import to_rgb
from framepack.media.write.encoders import crf_of
from framepack.media.write.gif import GifQuality
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, flat, make_clip, real_clip, scene
from tests.support.looping import NTSC, CountingFrames, open_file
from tests.support.readback import beep_times, psnr, read_back

MP4_CRF = {0: 28, 50: 23, 80: 20, 85: 19, 90: 19, 100: 18}
WEBM_CRF = {0: 35, 50: 30, 80: 27, 85: 26, 90: 26, 100: 25}


def excerpt(name: str, count: int = 10) -> Clip:
    """The beginning of a real clip."""
    clip = open_file(real_clip(name))
    return replace(clip, frames=lambda: islice(clip.frames(), count), length=count, audio=None)


def exported(clip: Clip, folder: Path, format_name: Format, quality: int | None = None) -> Path:
    """The file that a clip becomes."""
    encoding = Encoding(format_name, quality)
    path = folder / f"out{encoding.extension}"
    write(replace(clip, encoding=encoding), path)
    return path


def figures(clip: Clip, path: Path) -> list[float]:
    """PSNR of each frame of a YUV file against the clip's."""
    with av.open(str(path)) as container:
        pairs = zip(clip.frames(), container.decode(video=0), strict=True)
        return [psnr(given.on_host().to_ndarray(), back.to_ndarray()) for given, back in pairs]


@pytest.mark.parametrize("quality", MP4_CRF)
def test_quality_sets_the_documented_crf(quality: int) -> None:
    """28 to 18 for H.264, 35 to 25 for VP9, rounded down."""
    assert crf_of(Encoding("mp4", quality), 7) == MP4_CRF[quality]
    assert crf_of(Encoding("webm", quality), 7) == WEBM_CRF[quality]


def test_default_quality() -> None:
    """MP4 has a setting; WebM uses the default of exports."""
    assert crf_of(Encoding(), 7) == 7
    assert crf_of(Encoding("webm"), 7) == WEBM_CRF[85]


@pytest.mark.parametrize("format_name", ["mp4", "webm", "gif"])
def test_extension_of_every_format(format_name: Format) -> None:
    """The extension is the name of the format."""
    encoding = Encoding(format_name)
    assert encoding.extension == f".{format_name}"


@pytest.mark.parametrize("source", ["yuv420p", "yuv422p", "yuv444p", "yuv444p10le"])
@pytest.mark.parametrize(("format_name", "codec"), [("mp4", "h264"), ("webm", "vp9")])
def test_every_format_is_8_bit_420_of_even_size(tmp_path: Path, source: str, format_name: Format, codec: str) -> None:
    """8 bits and 4:2:0 of even size, whatever the source is."""
    path = exported(CountingFrames(6, (61, 47), source).clip(), tmp_path, format_name, 85)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec.canonical_name, context.pix_fmt) == (codec, "yuv420p")
        assert (context.width, context.height) == (62, 48)
        assert len(list(container.decode(video=0))) == 6


@pytest.mark.parametrize("format_name", ["mp4", "webm"])
def test_quality_raises_size_and_psnr(tmp_path: Path, format_name: Format) -> None:
    """On natural images size and PSNR rise with the quality, and the best is good."""
    clip = excerpt("bikes", 8)
    sizes, closeness = [], []
    for quality in (0, 50, 100):
        path = exported(clip, tmp_path, format_name, quality)
        sizes.append(path.stat().st_size)
        closeness.append(float(np.mean(figures(clip, path))))
    assert all(after > 1.1 * before for before, after in pairwise(sizes))
    assert all(after > before + 0.5 for before, after in pairwise(closeness))
    assert closeness[0] > 30
    assert closeness[-1] > 37


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", list(Matrix))
def test_webm_keeps_colors(tmp_path: Path, matrix: Matrix, full_range: bool) -> None:  # noqa: FBT001 - a parameter
    """Tags, and a patch of known color."""
    primaries, transfer = {Matrix.BT709: (1, 1), Matrix.BT601: (6, 6), Matrix.BT2020: (9, 14)}[matrix]
    colors = Colors(matrix, primaries, transfer, full_range)
    spec = Spec(count=4, colors=colors, frame=flat((200, 60, 30)), options={"crf": "1"})
    path = exported(open_file(make_clip(tmp_path / "clip.mp4", spec)), tmp_path, "webm", 100)
    back = read_back(path)
    assert back.colors == colors
    assert np.abs(back.frames[2].astype(int) - (200, 60, 30)).max() <= 5


@pytest.mark.parametrize("fps", [Fraction(25), NTSC])
def test_webm_has_opus_in_sync(tmp_path: Path, fps: Fraction) -> None:
    """48 kHz Opus whose beeps keep their times and which ends with the video."""
    audio = AudioSpec(seconds=3, beeps=(0.3, 1.1), layout="stereo", rate=44100)
    source = make_clip(tmp_path / "clip.mp4", Spec(count=50, fps=fps, audio=audio))
    path = exported(open_file(source), tmp_path, "webm", 50)
    assert beep_times(path) == pytest.approx((0.3, 1.1), abs=0.003)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.codec.canonical_name, stream.sample_rate, stream.channels) == ("opus", 48000, 2)
        samples = sum(frame.samples for frame in container.decode(stream))
    assert samples / 48000 == pytest.approx(float(50 / fps), abs=0.021)


def test_webm_has_its_index_first(tmp_path: Path) -> None:
    """A player can seek before the whole file has arrived."""
    data = exported(CountingFrames(30).clip(), tmp_path, "webm", 50).read_bytes()
    assert 0 < data.index(bytes.fromhex("1c53bb6b")) < data.index(bytes.fromhex("1f43b675"))  # Cues, Cluster


# GIF


@pytest.mark.parametrize(
    ("quality", "fps", "colors", "step"),
    [
        (0, 25, 32, 3),
        (50, 25, 144, 2),
        (85, 25, 222, 1),
        (100, 30, 256, 1),
        (100, 60, 256, 2),
        (85, 60, 222, 3),
        (85, 30, 222, 1),
    ],
)
def test_gif_quality_sets_colors_and_step(quality: int, fps: int, colors: int, step: int) -> None:
    """The palette grows from 32 to 256, the rate from 10 to 30 a second, in whole steps of the source's."""
    look = GifQuality.of(quality, Fraction(fps))
    assert (look.colors, look.step) == (colors, step)


def test_gif_quality_changes_size_colors_and_rate(tmp_path: Path) -> None:
    """Each step up gives a larger file with more colors and at least as many frames."""
    clip = excerpt("bikes", 12)
    sizes, colors, counts = [], [], []
    for quality in (0, 40, 70, 100):
        path = exported(clip, tmp_path, "gif", quality)
        sizes.append(path.stat().st_size)
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        counts.append(len(frames))
        colors.append(max(len(np.unique(frame.astype(int) @ (65536, 256, 1))) for frame in frames))
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] == 12
    assert colors[0] <= 32
    assert colors == sorted(colors)
    assert colors[-1] > 200


@pytest.mark.parametrize("fps", [Fraction(25), NTSC, Fraction(60), Fraction(12), Fraction(24000, 1001)])
@pytest.mark.parametrize("quality", [0, 100])
def test_gif_has_the_duration_of_its_clip(tmp_path: Path, fps: Fraction, quality: int) -> None:
    """Frames are within half a hundredth of a second of their times, and the last one lasts long enough."""
    count = 31
    path = exported(CountingFrames(count).clip(fps), tmp_path, "gif", quality)
    step = GifQuality.of(quality, fps).step
    with av.open(str(path)) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
        duration = (container.duration or 0) / 1e6
    assert times == pytest.approx([float(index / fps) for index in range(0, count, step)], abs=0.0051)
    assert duration == pytest.approx(count / fps, abs=0.02)


@pytest.mark.parametrize("fps", [Fraction(25), NTSC, Fraction(30), Fraction(60), Fraction(12), Fraction(3)])
@pytest.mark.parametrize("quality", [0, 85, 100])
def test_gif_delays_add_up_to_the_length_of_the_clip(tmp_path: Path, fps: Fraction, quality: int) -> None:
    """Also at the end of the loop: Pillow sees each frame as long as the clip shows it, within the grid of 10 ms."""
    count = 31
    path = exported(CountingFrames(count).clip(fps), tmp_path, "gif", quality)
    step = GifQuality.of(quality, fps).step
    with Image.open(path) as image:
        delays = [int(frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
    assert sum(delays) == 10 * round(count * 100 / fps)
    ideal = [1000 * min(step, count - index) / fps for index in range(0, count, step)]
    assert delays == pytest.approx([float(delay) for delay in ideal], abs=10)


def test_repeats_of_a_gif_have_equal_lengths(tmp_path: Path) -> None:
    """Each play lasts as long as the clip, also the last."""
    clip = replace(CountingFrames(31).clip(Fraction(30)), repeats=3)
    with Image.open(exported(clip, tmp_path, "gif", 0)) as image:
        delays = [int(frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
    assert sum(delays) == 3100


def test_gif_plays_forever(tmp_path: Path) -> None:
    """The loop count of the application extension is zero, which means forever."""
    assert b"NETSCAPE2.0\x03\x01\x00\x00\x00" in exported(CountingFrames(5).clip(), tmp_path, "gif").read_bytes()


@pytest.mark.parametrize("matrix", list(Matrix))
def test_gif_colors_are_right(tmp_path: Path, matrix: Matrix) -> None:
    """RGB is made by the clip's own matrix."""
    spec = Spec(count=3, colors=Colors(matrix, 1, 1), frame=flat((200, 60, 30)), options={"crf": "1"})
    path = exported(open_file(make_clip(tmp_path / "clip.mp4", spec)), tmp_path, "gif", 100)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - (200, 60, 30)).max() <= 4


def test_gif_psnr_at_the_best_quality(tmp_path: Path) -> None:
    """The best quality is close to the source for 256 colors."""
    clip = excerpt("bigbuckbunny", 6)
    path = exported(clip, tmp_path, "gif", 100)
    with av.open(str(path)) as container:
        pairs = zip(clip.frames(), container.decode(video=0), strict=True)
        assert min(psnr(to_rgb(given), back.to_ndarray(format="rgb24")) for given, back in pairs) > 30


def test_gifs_have_no_audio_and_even_sizes(tmp_path: Path) -> None:
    """Whatever the source has."""
    source = make_clip(tmp_path / "clip.mkv", Spec(size=(61, 47), count=5, pix_fmt="yuv444p", audio=AudioSpec()))
    with av.open(str(exported(open_file(source), tmp_path, "gif"))) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert (container.streams.video[0].width, container.streams.video[0].height) == (62, 48)


@pytest.mark.parametrize("format_name", ["mp4", "webm", "gif"])
@pytest.mark.parametrize("count", [0, 1])
def test_a_clip_of_one_frame_or_none(tmp_path: Path, format_name: Format, count: int) -> None:
    """One frame is a video; none is rejected and leaves no file."""
    if count:
        path = exported(CountingFrames(1).clip(), tmp_path, format_name)
        with av.open(str(path)) as container:
            assert len(list(container.decode(video=0))) == 1
    else:
        with pytest.raises(InvalidMedia, match="no frames"):
            exported(CountingFrames(0).clip(), tmp_path, format_name)
        assert list(tmp_path.iterdir()) == []


_PEAK = """
import sys
from dataclasses import replace
from pathlib import Path
from framepack.media.clip import Encoding
from framepack.media.write.writer import write
from tests.support.looping import open_file
source, name = Path(sys.argv[1]), sys.argv[2]
clip = replace(open_file(source), encoding=Encoding(name, 50))
frames_written = write(clip, source.parent / f"out.{name}")
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(frames_written, peak.split()[1])
"""


@pytest.mark.parametrize("format_name", ["webm", "gif"])
def test_memory_does_not_grow_with_length(tmp_path: Path, format_name: Format) -> None:
    """Ten times as many frames need no more than 5 % more memory at the peak."""
    images = [scene(index, 96, 72) for index in range(8)]
    peaks = {}
    for count in (130, 1300):
        spec = Spec(
            size=(96, 72),
            count=count,
            frame=lambda index, _width, _height: images[index % 8],
            options={"crf": "0"},
        )
        source = make_clip(tmp_path / f"{count}.mp4", spec)
        run = [sys.executable, "-c", _PEAK, str(source), format_name]
        frames, peak = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
        assert int(frames) == count
        peaks[count] = int(peak)
    assert peaks[1300] <= 1.05 * peaks[130]


# Scaling


@pytest.mark.parametrize(
    ("size", "aspect", "max_width", "expected"),
    [
        ((320, 240), Fraction(1), 1024, (320, 240)),
        ((321, 241), Fraction(1), 1024, (321, 241)),
        ((321, 241), Fraction(1), 321, (320, 240)),
        ((1920, 1080), Fraction(1), 1024, (1024, 576)),
        ((1920, 1080), Fraction(1), 1023, (1022, 574)),
        ((1920, 1080), Fraction(1), 480, (480, 270)),
        ((1080, 1920), Fraction(1), 480, (480, 854)),
        ((720, 576), Fraction(16, 15), 1024, (768, 576)),
        ((720, 576), Fraction(64, 45), 1024, (1024, 576)),
        ((720, 576), Fraction(64, 45), 512, (512, 288)),
        ((640, 480), Fraction(1, 2), 1024, (320, 480)),
        ((4096, 2), Fraction(1), 256, (256, 2)),
    ],
)
def test_export_size(size: tuple[int, int], aspect: Fraction, max_width: int, expected: tuple[int, int]) -> None:
    """Never enlarged, even as soon as it is scaled, as wide as it is seen."""
    clip = replace(CountingFrames(1, size).clip(), pixel_aspect=aspect)
    assert export_size(clip, max_width) == expected


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full_range", [False, True])
def test_scaling_keeps_format_and_colors(tmp_path: Path, pix_fmt: str, full_range: bool) -> None:  # noqa: FBT001 - a parameter
    """A smooth frame halved is the frame drawn at half the size, in the same format, with the same colors."""
    colors = Colors(Matrix.BT709, 1, 1, full_range)
    spec = Spec(size=(256, 192), count=2, pix_fmt=pix_fmt, colors=colors, options={"crf": "1"})
    frame = next(open_file(make_clip(tmp_path / "clip.mp4", spec)).frames())
    scaled = Scaler(128, 96, colors)(frame)
    assert (scaled.width, scaled.height, scaled.on_host().format.name) == (128, 96, pix_fmt)
    expected = scene(0, 256, 192).reshape(96, 2, 128, 2, 3).mean((1, 3))
    assert psnr(to_rgb(scaled), expected) > 40
