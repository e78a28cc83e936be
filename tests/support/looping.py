"""Numbered clips, and reading of the numbers from files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from framepack.media.clip import Clip, Frame, HostFrame
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import Pixels, number_of, scene, to_frame

NTSC = Fraction(30000, 1001)


def numbered_still(index: int, width: int, height: int) -> Pixels:
    """A still image with the frame number modulo 16 in its center: similar enough for encoders to use B-frames."""
    frame = scene(0, width, height)
    frame[height // 4 : height - height // 4, width // 4 : width - width // 4] = 8 + 15 * (index % 16)
    return frame


@dataclass(frozen=True)
class Shown:
    """Numbers and times of a file's frames in presentation order, and its video packets in file order."""

    numbers: list[int]
    times: list[Fraction]
    packets: list[bytes]
    dts: list[int]
    rate: Fraction | None


def shown(path: Path) -> Shown:
    """Decode a file of numbered frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        numbers = [number_of(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)) for frame in frames]
        times = [(frame.pts or 0) * Fraction(stream.time_base or 1) for frame in frames]
        rate = stream.average_rate
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return Shown(
            numbers, times, [bytes(packet) for packet in packets], [packet.dts or 0 for packet in packets], rate
        )


def round_trip(count: int) -> list[int]:
    """Frame numbers of one round trip over ``count`` frames."""
    return [*range(count), *range(count - 2, 0, -1)]


def open_file(path: Path) -> Clip:
    """Open a file as a clip."""
    return open_clip(path, probe(path), warn=lambda _: None)


class CountingFrames:
    """Numbered frames, with a count of those that were computed."""

    def __init__(self, count: int, size: tuple[int, int] = (64, 48), pix_fmt: str = "yuv420p") -> None:
        self.count, self.size, self.pix_fmt = count, size, pix_fmt
        self.drawn = 0

    def clip(self, fps: Fraction = Fraction(25)) -> Clip:
        """The frames as a clip."""
        return Clip(self._frames, fps, *self.size, self.count)

    def _frames(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.drawn += 1
            yield HostFrame(to_frame(numbered_still(index, *self.size), self.pix_fmt))
