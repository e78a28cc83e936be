"""Render an audio plan to samples: decode, change the tempo, reverse and concatenate, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, log2
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from framepack.errors import InvalidMedia
from framepack.files.scratch import disk_errors, scratch_file
from framepack.media.audio.channels import LAYOUTS
from framepack.media.audio.file import AudioDamage, filter_frames, open_audio
from framepack.media.clip import AudioPlan, AudioSequence, AudioSource, ReversedAudio, StretchedAudio
from framepack.media.prefetch import prefetch

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.filter import Graph
    from numpy.typing import NDArray

    AudioSamples = NDArray[np.float32]

_BLOCK: Final = 16_384  # samples at a time
_SAMPLE_BYTES: Final = 4
_LAYOUTS: Final = tuple(LAYOUTS)


def audio_sources(audio: AudioPlan | None) -> Iterator[AudioSource]:
    """The audio streams that a plan uses; none if it is silence."""
    match audio:
        case AudioSource():
            yield audio
        case StretchedAudio() | ReversedAudio():
            yield from audio_sources(audio.audio)
        case AudioSequence():
            for part, _ in audio.parts:
                yield from audio_sources(part)


def at_most(blocks: Iterable[AudioSamples], count: int) -> Iterator[AudioSamples]:
    """At most the first ``count`` samples."""
    left = count
    if left <= 0:
        return
    for block in blocks:
        if block.shape[1]:  # encoders reject a frame without samples
            yield block[:, :left]
        left -= block.shape[1]
        if left <= 0:
            return


def ahead(blocks: Iterable[AudioSamples]) -> Generator[AudioSamples]:
    """The same samples in fewer blocks, which a thread renders ahead; close it to stop early."""
    return prefetch(lambda: _merged(blocks), size_bytes=lambda block: block.nbytes)


def _merged(blocks: Iterable[AudioSamples]) -> Iterator[AudioSamples]:
    """The same samples in fewer blocks: each costs an encoder a few calls."""
    import numpy as np

    waiting: list[AudioSamples] = []
    for block in blocks:
        waiting.append(block)
        if sum(each.shape[1] for each in waiting) >= _BLOCK:
            yield np.concatenate(waiting, axis=1)
            waiting = []
    if waiting:
        yield np.concatenate(waiting, axis=1)


@dataclass(frozen=True, slots=True)
class AudioRenderer:
    """Renders audio plans.

    Attributes:
        rate: Samples per second.
        channels: 1 to ``MAX_CHANNELS``.
        folder: The folder for temporary files.
        damage: Counts what could not be read; silence takes its place.
    """

    rate: int
    channels: int
    folder: Path
    damage: AudioDamage = field(default_factory=AudioDamage)

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channel layout."""
        return _LAYOUTS[self.channels - 1]

    def blocks(self, audio: AudioPlan | None) -> Iterator[AudioSamples]:
        """Render a plan, starting at the clip's first frame.

        Args:
            audio: The plan; None has no samples.

        Yields:
            Blocks of samples: float32, shape (channels, n), usually -1 to 1, n at most some ten thousand.

        Raises:
            DiskFull: There is no room for temporary files.
        """
        match audio:
            case AudioSource():
                yield from self._decoded(audio)
            case StretchedAudio():
                yield from self._stretched(audio)
            case ReversedAudio():
                yield from self._reversed(audio)
            case AudioSequence():
                yield from self._joined(audio)

    def exactly(self, blocks: Iterable[AudioSamples], count: int) -> Iterator[AudioSamples]:
        """Exactly ``count`` samples: trimmed, or padded with silence."""
        left = count
        for block in at_most(blocks, count):
            left -= block.shape[1]
            yield block
        yield from self._silence(left)

    def frame(self, block: AudioSamples, position: int) -> av.AudioFrame:
        """Convert a block to a PyAV frame; ``position``, the number of its first sample, is its timestamp."""
        import av
        import numpy as np

        # Packed: PyAV finds the planes of a frame by looking for the first one that is missing, beyond the eighth.
        packed = np.ascontiguousarray(block.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, position, Fraction(1, self.rate)
        return frame

    def _silence(self, count: int) -> Iterator[AudioSamples]:
        import numpy as np

        for begin in range(0, count, _BLOCK):
            yield np.zeros((self.channels, min(_BLOCK, count - begin)), np.float32)

    def _decoded(self, audio: AudioSource) -> Iterator[AudioSamples]:
        position = 0
        try:
            with open_audio(audio, self.damage) as file:
                for begin, frame in file.resampled(self.rate, self.layout):
                    yield from self._silence(begin - position)
                    position = max(position, begin)
                    block = self._samples(frame)[:, position - begin :]
                    position += block.shape[1]
                    if block.size:
                        yield block
                    else:
                        self.damage.earlier = True
        except InvalidMedia:
            self.damage.files += 1

    def _stretched(self, plan: StretchedAudio) -> Iterator[AudioSamples]:
        """Change the tempo. The output has exactly as many samples as the input divided by the speed, rounded."""
        import numpy as np

        if plan.speed == 1:
            yield from self.blocks(plan.audio)
            return
        # The filters return samples late and, at the end, not exactly as many as the speed asks for. So samples are
        # yielded only as far as the input taken so far allows; at the end the rest is trimmed or padded.
        taken = yielded = 0
        waiting = np.zeros((self.channels, 0), np.float32)
        for block in self._tempo(self.blocks(plan.audio), float(plan.speed)):
            taken += block.taken
            waiting = np.concatenate([waiting, *block.output], axis=1)
            room = max(0, int(taken / plan.speed) - yielded)
            ready, waiting = waiting[:, :room], waiting[:, room:]
            yielded += ready.shape[1]
            if ready.size:
                yield ready
        yield from self.exactly([waiting], round(taken / plan.speed) - yielded)

    def _tempo(self, blocks: Iterable[AudioSamples], speed: float) -> Iterator[_TempoBlock]:
        """Run blocks through the tempo filters; last comes what the filters still hold."""
        graph = _tempo_graph(self.rate, self.layout, speed)
        position = 0
        for block in blocks:
            frame = self.frame(block, position)
            position += block.shape[1]
            output = [self._samples(result) for result in filter_frames(graph, frame)]
            yield _TempoBlock(block.shape[1], output)
        yield _TempoBlock(0, [self._samples(result) for result in filter_frames(graph, None)])

    def _samples(self, frame: av.AudioFrame) -> AudioSamples:
        """The samples of a packed frame."""
        return cast("AudioSamples", frame.to_ndarray()).reshape(-1, self.channels).T

    def _reversed(self, plan: ReversedAudio) -> Iterator[AudioSamples]:
        count = round(plan.seconds * self.rate)
        with scratch_file(self.folder) as file:
            recording = _SampleFile(file, self.channels)
            recording.write(self.exactly(self.blocks(plan.audio), count))
            for end in range(count, 0, -_BLOCK):
                begin = max(0, end - _BLOCK)
                yield recording.read(begin, end)[:, ::-1]

    def _joined(self, plan: AudioSequence) -> Iterator[AudioSamples]:
        # A part that is used more than once, such as the audio of a loop, is rendered once into a temporary file. The
        # end of each part is rounded from the exact sum of all durations, so that rounding errors do not add up.
        uses = Counter(part for part, _ in plan.parts if part is not None)
        recordings: dict[AudioPlan, _SampleFile] = {}
        elapsed, position = Fraction(0), 0
        with ExitStack() as files:
            for part, seconds in plan.parts:
                if part is not None and uses[part] > 1 and part not in recordings:
                    longest = max(length for other, length in plan.parts if other == part)
                    recordings[part] = _SampleFile(files.enter_context(scratch_file(self.folder)), self.channels)
                    count = ceil(longest * self.rate) + 1
                    recordings[part].write(self.exactly(self.blocks(part), count))
                elapsed += seconds
                end = round(elapsed * self.rate)
                blocks = recordings[part].blocks() if part in recordings else self.blocks(part)
                yield from self.exactly(blocks, end - position)
                position = end


@dataclass(frozen=True, slots=True)
class _TempoBlock:
    """How many samples the tempo filters took, and what they returned."""

    taken: int
    output: list[AudioSamples]


@dataclass(slots=True)
class _SampleFile:
    """Samples stored in a temporary file."""

    file: IO[bytes]
    channels: int
    count: int = 0

    def write(self, blocks: Iterable[AudioSamples]) -> None:
        for block in blocks:
            with disk_errors():
                self.file.write(block.T.tobytes())
            self.count += block.shape[1]
        with disk_errors():
            self.file.flush()

    def read(self, begin: int, end: int) -> AudioSamples:
        import numpy as np

        size_bytes = self.channels * _SAMPLE_BYTES
        self.file.seek(begin * size_bytes)
        data = self.file.read((end - begin) * size_bytes)
        return np.frombuffer(data, np.float32).reshape(end - begin, self.channels).T

    def blocks(self) -> Iterator[AudioSamples]:
        for begin in range(0, self.count, _BLOCK):
            yield self.read(begin, min(self.count, begin + _BLOCK))


def _tempo_graph(rate: int, layout: str, speed: float) -> Graph:
    """The chain of atempo filters for a speed, with delays that keep audio and video in sync."""
    # Two properties of atempo make this harder than one filter:
    # - Beyond a factor of 2 it skips samples instead of blending them. So the speed is split into equal factors of at
    #   most 2 (1/2 when slower), one filter each; the epsilon keeps an exact power of two from taking one more.
    # - Its output is early by a quarter of its analysis window, which is the smallest power of two that holds 1/24
    #   second of samples. A delay of that length in front of every atempo cancels it.
    from av.filter import Graph

    stages = max(1, ceil(abs(log2(speed)) - 1e-9))
    advance = 2 ** ceil(log2(rate / 24)) // 4
    graph = Graph()
    chain = [graph.add_abuffer(sample_rate=rate, format="flt", layout=layout, time_base=Fraction(1, rate))]
    for _ in range(stages):
        chain += [graph.add("adelay", f"{advance}S:all=1"), graph.add("atempo", f"{speed ** (1 / stages):.15f}")]
    graph.link_nodes(*chain, graph.add("aformat", "sample_fmts=flt"), graph.add("abuffersink")).configure()
    return graph
