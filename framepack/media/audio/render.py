"""Make the samples of an audio plan: decoded, stretched, reversed and put together, in memory that does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, log2
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.files.scratch import disk_errors, scratch_file
from framepack.media.audio.file import AudioDamage, open_audio, pulled
from framepack.media.clip import AudioPlan, AudioSource, ReversedAudio, Sequence, StretchedAudio

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.filter import Graph
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

_BLOCK: Final = 16_384  # samples at a time
_SAMPLE_BYTES: Final = 4


def leaves(audio: AudioPlan | None) -> Iterator[AudioSource]:
    """The audio of files that a plan is made of; none if it is silence."""
    match audio:
        case AudioSource():
            yield audio
        case StretchedAudio() | ReversedAudio():
            yield from leaves(audio.audio)
        case Sequence():
            for part, _ in audio.parts:
                yield from leaves(part)


def at_most(blocks: Iterable[Samples], count: int) -> Iterator[Samples]:
    """The first ``count`` samples, or as many as there are."""
    left = count
    if left <= 0:
        return
    for block in blocks:
        if block.shape[1]:  # encoders refuse a frame without samples
            yield block[:, :left]
        left -= block.shape[1]
        if left <= 0:
            return


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders audio plans.

    Attributes:
        rate: Samples per second.
        channels: 1 or 2.
        folder: Where audio that must wait on disk lies meanwhile.
        losses: Counts what of the files could not be read; there is silence in its place.
    """

    rate: int
    channels: int
    folder: Path
    losses: AudioDamage = field(default_factory=AudioDamage)

    @property
    def layout(self) -> str:
        """FFmpeg's name for the channels."""
        return "mono" if self.channels == 1 else "stereo"

    def blocks(self, audio: AudioPlan | None) -> Iterator[Samples]:
        """Render a plan, from the clip's first frame on.

        Args:
            audio: The plan; None has no samples at all.

        Yields:
            float32 of shape (channels, n), usually -1 to 1, n at most some ten thousand.

        Raises:
            DiskFull: there is no room for audio that must wait on disk.
        """
        match audio:
            case AudioSource():
                yield from self._decoded(audio)
            case StretchedAudio():
                yield from self._stretched(audio)
            case ReversedAudio():
                yield from self._reversed(audio)
            case Sequence():
                yield from self._joined(audio)

    def exactly(self, blocks: Iterable[Samples], count: int) -> Iterator[Samples]:
        """The first ``count`` samples; silence where there are fewer."""
        left = count
        for block in at_most(blocks, count):
            left -= block.shape[1]
            yield block
        yield from self._silence(left)

    def frame(self, block: Samples, position: int) -> av.AudioFrame:
        """A block as filters and encoders take it, timed by the number of its first sample."""
        import av
        import numpy as np

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, position, Fraction(1, self.rate)
        return frame

    def _silence(self, count: int) -> Iterator[Samples]:
        import numpy as np

        for begin in range(0, count, _BLOCK):
            yield np.zeros((self.channels, min(_BLOCK, count - begin)), np.float32)

    def _decoded(self, audio: AudioSource) -> Iterator[Samples]:
        position = 0
        try:
            with open_audio(audio, self.losses) as file:
                for begin, frame in file.resampled(self.rate, self.layout):
                    yield from self._silence(begin - position)
                    position = max(position, begin)
                    block = cast("Samples", frame.to_ndarray())[:, position - begin :]
                    position += block.shape[1]
                    if block.size:
                        yield block
        except InvalidMedia:
            self.losses.files += 1

    def _stretched(self, plan: StretchedAudio) -> Iterator[Samples]:
        import numpy as np

        if plan.speed == 1:
            yield from self.blocks(plan.audio)
            return
        taken = given = 0
        waiting = np.zeros((self.channels, 0), np.float32)
        for block in self._tempo(self.blocks(plan.audio), float(plan.speed)):
            taken += block.taken
            waiting = np.concatenate([waiting, *block.made], axis=1)
            room = max(0, int(taken / plan.speed) - given)
            ready, waiting = waiting[:, :room], waiting[:, room:]
            given += ready.shape[1]
            if ready.size:
                yield ready
        yield from self.exactly([waiting], round(taken / plan.speed) - given)

    def _tempo(self, blocks: Iterable[Samples], speed: float) -> Iterator[_Stretch]:
        graph = _tempo_graph(self.rate, self.layout, speed)
        position = 0
        for block in blocks:
            frame = self.frame(block, position)
            position += block.shape[1]
            made = [cast("Samples", piece.to_ndarray()) for piece in pulled(graph, frame)]
            yield _Stretch(block.shape[1], made)
        yield _Stretch(0, [cast("Samples", piece.to_ndarray()) for piece in pulled(graph, None)])

    def _reversed(self, plan: ReversedAudio) -> Iterator[Samples]:
        count = round(plan.seconds * self.rate)
        with scratch_file(self.folder) as file:
            tape = _Tape(file, self.channels)
            tape.record(self.exactly(self.blocks(plan.audio), count))
            for end in range(count, 0, -_BLOCK):
                begin = max(0, end - _BLOCK)
                yield tape.read(begin, end)[:, ::-1]

    def _joined(self, plan: Sequence) -> Iterator[Samples]:
        uses = Counter(part for part, _ in plan.parts if part is not None)
        tapes: dict[AudioPlan, _Tape] = {}
        elapsed, position = Fraction(0), 0
        with ExitStack() as files:
            for part, seconds in plan.parts:
                if part is not None and uses[part] > 1 and part not in tapes:
                    longest = max(length for other, length in plan.parts if other == part)
                    tapes[part] = _Tape(files.enter_context(scratch_file(self.folder)), self.channels)
                    count = ceil(longest * self.rate) + 1
                    tapes[part].record(self.exactly(self.blocks(part), count))
                elapsed += seconds
                end = round(elapsed * self.rate)
                blocks = tapes[part].blocks() if part in tapes else self.blocks(part)
                yield from self.exactly(blocks, end - position)
                position = end


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Samples that a stretching filter took, and what it made meanwhile."""

    taken: int
    made: list[Samples]


@dataclass(slots=True)
class _Tape:
    """Samples in a file."""

    file: IO[bytes]
    channels: int
    count: int = 0

    def record(self, blocks: Iterable[Samples]) -> None:
        for block in blocks:
            with disk_errors():
                self.file.write(block.T.tobytes())
            self.count += block.shape[1]
        with disk_errors():
            self.file.flush()

    def read(self, begin: int, end: int) -> Samples:
        import numpy as np

        size_bytes = self.channels * _SAMPLE_BYTES
        self.file.seek(begin * size_bytes)
        data = self.file.read((end - begin) * size_bytes)
        return np.frombuffer(data, np.float32).reshape(end - begin, self.channels).T

    def blocks(self) -> Iterator[Samples]:
        for begin in range(0, self.count, _BLOCK):
            yield self.read(begin, min(self.count, begin + _BLOCK))


def _tempo_graph(rate: int, layout: str, speed: float) -> Graph:
    """Filters that each change the tempo by a factor of at most 2, because beyond that atempo skips samples.

    atempo is early by a quarter of its window (the power of two from 1/24 second on); a delay before it helps.
    """
    from av.filter import Graph

    steps = max(1, ceil(abs(log2(speed)) - 1e-9))
    early = 2 ** ceil(log2(rate / 24)) // 4
    graph = Graph()
    chain = [graph.add_abuffer(sample_rate=rate, format="fltp", layout=layout, time_base=Fraction(1, rate))]
    for _ in range(steps):
        chain += [graph.add("adelay", f"{early}S:all=1"), graph.add("atempo", f"{speed ** (1 / steps):.15f}")]
    graph.link_nodes(*chain, graph.add("aformat", "sample_fmts=fltp"), graph.add("abuffersink")).configure()
    return graph
