"""Written files: exact rates, colors, sizes and quality; the whole file or none."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from framepack.errors import Cancelled, DiskFull, FramepackError, InvalidMedia
from framepack.job import Job, Progress
from framepack.media.clip import Clip, Colors, Frame, HostFrame, Matrix
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write.writer import write
from tests.support.clips import Spec, flat, make_clip, numbered, real_clip, scene, to_frame
from tests.support.readback import psnr, read_back
from tests.support.rest_server import eventually

NTSC = Fraction(30000, 1001)


def drawn(count: int = 10, size: tuple[int, int] = (64, 48), pix_fmt: str = "yuv420p") -> Clip:
    """A clip that draws its frames itself."""

    def frames() -> Iterator[Frame]:
        for index in range(count):
            yield HostFrame(to_frame(scene(index, *size), pix_fmt))

    return Clip(frames, Fraction(25), *size, count)


def copied(source: Path, target: Path, **options: object) -> int:
    """Read a file and write it."""
    return write(open_clip(source, probe(source), warn=lambda _: None), target, **options)  # type: ignore[arg-type] # crf and preset


@pytest.mark.parametrize(
    "fps", [NTSC, Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(1, 2), Fraction(1193, 48)]
)
@pytest.mark.parametrize("count", [1, 2, 31])
def test_frame_rate_is_exact(tmp_path: Path, fps: Fraction, count: int) -> None:
    """Every frame of the file stands exactly at n / fps, and the file says that rate."""
    path = tmp_path / "out.mp4"
    frames_written = write(replace(drawn(count), fps=fps), path)
    back = read_back(path)
    assert frames_written == len(back.frames) == count
    assert back.times == [index / fps for index in range(count)]
    assert back.rate == fps
    assert probe(path).fps == fps


class OnDevice:
    """A frame that notes when it is brought to the host."""

    def __init__(self, frame: Frame, index: int, steps: list[tuple[str, int, bool]]) -> None:
        self._frame, self._index, self._steps = frame, index, steps
        self.width, self.height, self.size_bytes = frame.width, frame.height, frame.size_bytes

    def start_download(self) -> None:
        """Note it."""
        self._note("start")

    def on_host(self) -> av.VideoFrame:
        """Note it."""
        self._note("need")
        return self._frame.on_host()

    def _note(self, step: str) -> None:
        self._steps.append((step, self._index, threading.current_thread().name == "prefetch"))


@pytest.mark.parametrize(("container", "starts"), [("mp4", True), ("gif", False)])
def test_the_download_of_a_frame_starts_where_it_is_made(tmp_path: Path, container: str, *, starts: bool) -> None:
    """Ahead of the encoder, which then only waits; not for a GIF, which leaves frames out."""
    steps: list[tuple[str, int, bool]] = []
    clip = drawn(6)
    if container == "gif":
        clip = replace(clip, encoding=replace(clip.encoding, format="gif"))
    devices = replace(clip, frames=lambda: (OnDevice(each, i, steps) for i, each in enumerate(clip.frames())))
    write(devices, tmp_path / "out")

    assert [index for step, index, _ in steps if step == "start"] == (list(range(6)) if starts else [])
    for index in range(6 if starts else 0):
        assert steps.index(("start", index, True)) < steps.index(("need", index, False))


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("source", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("matrix", list(Matrix))
def test_colors_and_tags_are_kept(tmp_path: Path, matrix: Matrix, source: str, full_range: bool) -> None:  # noqa: FBT001 - a parameter
    """Tags in the stream and in the container, and a patch of known color, before and after."""
    primaries, transfer = {Matrix.BT709: (1, 1), Matrix.BT601: (6, 6), Matrix.BT2020: (9, 14)}[matrix]
    colors = Colors(matrix, primaries, transfer, full_range)
    spec = Spec(count=4, colors=colors, pix_fmt=source, frame=flat((200, 60, 30)), options={"crf": "1"})
    path = tmp_path / "out.mp4"
    copied(make_clip(tmp_path / "clip.mp4", spec), path)
    back = read_back(path)
    assert back.colors == colors
    assert back.pix_fmt in {"yuv420p", "yuvj420p"}
    assert np.abs(back.frames[2].astype(int) - (200, 60, 30)).max() <= 4
    range_bit = 0x80 if full_range else 0
    box = b"colrnclx" + bytes([0, primaries, 0, transfer, 0, int(matrix), range_bit])
    assert box in path.read_bytes()


def test_untagged_sources_get_tags_without_a_color_shift(tmp_path: Path) -> None:
    """The pixels of an untagged clip are not touched, only named."""
    source = make_clip(tmp_path / "clip.mkv", Spec(count=3, colors=None, codec="ffv1"))
    path = tmp_path / "out.mp4"
    copied(source, path, crf=1)
    with av.open(str(source)) as first, av.open(str(path)) as second:
        pairs = zip(first.decode(video=0), second.decode(video=0), strict=True)
        assert all(psnr(one.to_ndarray(), two.to_ndarray()) > 48 for one, two in pairs)
    assert probe(path).colors == probe(source).colors == Colors(Matrix.BT601, 6, 6)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("size", [(161, 121), (3, 3), (1, 1), (2, 2), (64, 47)])
def test_odd_sizes_are_padded_to_even(tmp_path: Path, size: tuple[int, int], pix_fmt: str) -> None:
    """The last column and row are repeated; the rest of the frame is unchanged."""
    path = tmp_path / "out.mp4"
    write(drawn(3, size, pix_fmt), path, crf=1)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    frame = read_back(path).frames[1]
    assert frame.shape == (even[1], even[0], 3)
    expected = np.pad(scene(1, *size), ((0, size[1] % 2), (0, size[0] % 2), (0, 0)), mode="edge")
    assert psnr(frame, expected) > 33


@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny"])
def test_the_default_quality_looks_lossless(tmp_path: Path, name: str) -> None:
    """At least 40 dB over luma and chroma against the frames given, on natural content."""
    source = real_clip(name)
    clip = open_clip(source, probe(source), warn=lambda _: None)
    some = replace(clip, frames=lambda: islice(clip.frames(), 12), length=12, audio=None)
    write(some, tmp_path / "out.mp4")
    with av.open(str(source)) as first, av.open(str(tmp_path / "out.mp4")) as second:
        pairs = list(zip(islice(first.decode(video=0), 12), second.decode(video=0), strict=True))
        figures = [psnr(one.to_ndarray(), two.to_ndarray()) for one, two in pairs]
    assert len(figures) == 12
    assert np.mean(figures) > 43
    assert min(figures) > 40


def test_crf_sets_the_quality(tmp_path: Path) -> None:
    """A lower crf gives a larger file, a slower preset another one."""
    sizes = []
    for crf in (8, 16, 30):
        write(drawn(20), tmp_path / "out.mp4", crf=crf)
        sizes.append((tmp_path / "out.mp4").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_mp4_has_its_index_first(tmp_path: Path) -> None:
    """A player can begin before the whole file has arrived."""
    write(drawn(), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_pixel_aspect_is_kept_and_rotation_is_not_applied_twice(tmp_path: Path) -> None:
    """The output is upright by itself."""
    spec = Spec(size=(64, 32), count=3, rotation=90, aspect=Fraction(4, 3))
    copied(make_clip(tmp_path / "clip.mp4", spec), tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert (info.rotation, info.width, info.height, info.pixel_aspect) == (0, 32, 64, Fraction(3, 4))


def test_duplicated_frames_are_written_each_time(tmp_path: Path) -> None:
    """A variable rate becomes a constant one of the same length."""
    slots = [0, 1, 5, 6, 20, 21]
    spec = Spec(times=[Fraction(slot, 25) for slot in slots], frame=numbered)
    frames_written = copied(make_clip(tmp_path / "clip.mkv", spec), tmp_path / "out.mp4")
    assert frames_written == 22
    assert read_back(tmp_path / "out.mp4").times == [Fraction(index, 25) for index in range(22)]


class Failing:
    """Frames that end in an error, or go on until somebody stops them."""

    def __init__(self, error: Exception | None = None, after: int = 30) -> None:
        self.error, self.after = error, after
        self.closed = False

    def __call__(self) -> Iterator[Frame]:
        """Draw frames."""
        try:
            for index in range(self.after):
                yield HostFrame(to_frame(scene(index, 64, 48), "yuv420p"))
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


def test_a_failure_leaves_no_file_thread_or_descriptor(tmp_path: Path) -> None:
    """The error of the frames comes through as it is."""
    frames = Failing(LookupError("step three"))
    gc.collect()  # of earlier tests

    def resources() -> tuple[int, int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = resources()
    with pytest.raises(LookupError, match="step three"):
        write(replace(drawn(), frames=frames), tmp_path / "out.mp4")
    gc.collect()
    assert frames.closed
    assert list(tmp_path.iterdir()) == []
    assert eventually(lambda: resources() == before)  # the kernel may still be busy with a thread that has ended


def test_cancelling_midway_leaves_no_file(tmp_path: Path) -> None:
    """A cancelled job stops within a frame or two and removes what was written."""
    job = Job()
    source = make_clip(tmp_path / "clip.mp4", Spec(count=200))
    clip = open_clip(source, probe(source), warn=job.warn)
    done: list[int] = []

    def report(progress: Progress) -> None:
        done.append(progress.done)
        if progress.done == 20:
            job.cancel()

    job.report = report
    with pytest.raises(Cancelled):
        write(replace(clip, frames=lambda: job.watch(clip.frames(), clip.length)), tmp_path / "out.mp4")
    assert done == list(range(1, 21))
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("count", [3, 60])
def test_a_full_disk_raises_disk_full(tmp_path: Path, count: int) -> None:
    """Found out while writing or only at the end, it is one error with its own status, and nothing remains."""
    target = tmp_path / "out.mp4"
    target.symlink_to("/dev/full")
    noise = np.random.default_rng(1).integers(0, 256, (60, 96, 128, 3), np.uint8)

    def frames() -> Iterator[Frame]:
        for frame in noise[:count]:
            yield HostFrame(to_frame(frame, "yuv420p"))

    clip = Clip(frames, Fraction(25), 128, 96, count)
    with pytest.raises(DiskFull, match=r"^The worker's disk has no room for the output\.$"):
        write(clip, target, preset="ultrafast")
    assert not target.is_symlink()
    assert Path("/dev/full").is_char_device()


def test_a_clip_without_frames_is_rejected(tmp_path: Path) -> None:
    """No frames, no file."""
    with pytest.raises(InvalidMedia, match="no frames"):
        write(drawn(0), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_raises(tmp_path: Path) -> None:
    """A step that announces another size than it makes is found out, not scaled away."""
    with pytest.raises(FramepackError, match="size"):
        write(replace(drawn(), width=32), tmp_path / "out.mp4")


MEMORY = """
import sys
from pathlib import Path
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write.writer import write
source = Path(sys.argv[1])
frames_written = write(open_clip(source, probe(source), warn=print), Path(sys.argv[2]), preset="ultrafast")
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(frames_written, *peak)
"""


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Ten times as many frames need no more than 5 % more memory at the peak."""
    images = [scene(index, 320, 240) for index in range(8)]
    peaks = {}
    for count in (70, 700):
        spec = Spec(size=(320, 240), count=count, frame=lambda index, _width, _height: images[index % 8])
        source = make_clip(tmp_path / f"{count}.mp4", spec)
        run = [sys.executable, "-c", MEMORY, str(source), str(tmp_path / "out.mp4")]
        frames, peak = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
        assert int(frames) == count
        peaks[count] = int(peak)
    assert peaks[700] <= 1.05 * peaks[70]
