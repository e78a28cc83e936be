"""Play the parts of an MP4 file as its edit lists say, where FFmpeg does not."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby, pairwise
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import TooLarge
from framepack.media.clip import AudioPlan, AudioSequence, AudioSource, StretchedAudio
from framepack.media.read.edit_list import Edit

if TYPE_CHECKING:
    from framepack.media.timeline.constant_rate import Timeline

_SLACK_FRAMES: Final = Fraction(1, 10)  # edits are rounded to milliseconds or coarser
_MAX_FPS: Final = 60
_LONGEST_SKIP: Final = 100
_FEW: Final = 10  # one in so many: perhaps a number is damaged


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that is played: when it begins and ends, where in the track, and how fast. No place is a pause."""

    start: Fraction
    end: Fraction
    begin: Fraction | None
    rate: Fraction

    def place(self, time: Fraction) -> Fraction:
        """The time in the track that is played at ``time``."""
        return (self.begin or Fraction(0)) + max(time - self.start, Fraction(0)) * self.rate


@dataclass(frozen=True, slots=True)
class Run:
    """Output frames that show frames of the file in order.

    Attributes:
        first: The first of these.
        repeats: How often it and those after it are shown, one after the other.
    """

    first: int
    repeats: Sequence[int]


@dataclass(frozen=True, slots=True)
class EditedVideo:
    """A video as its edit lists play it.

    Attributes:
        own: The timeline of all frames of the file, as they are in its track.
        timeline: The timeline that is played.
        places: For each of its frames, the number of the frame of ``own`` that it shows.
        skipped: Number of frames that are left out within parts.
    """

    own: Timeline
    timeline: Timeline
    places: Sequence[int]
    skipped: int
    _audio: Sequence[_Part]
    _origin: Fraction

    @classmethod
    def of(
        cls, own: Timeline, video: Sequence[Edit], audio: Sequence[Edit], audio_end: Fraction, max_frames: int
    ) -> EditedVideo:
        """Apply edit lists.

        Args:
            own: The timeline of the video's track, whose clock begins with the track.
            video: Its edit list; empty if it has none.
            audio: That of the audio.
            audio_end: When the audio's track ends, in seconds of its own clock.
            max_frames: Number of frames that are allowed.

        Raises:
            TooLarge: There would be more frames.
        """
        begin = (own.start or 0) * own.time_base
        own_parts = _parts(video, begin + own.length / own.fps)
        parts = own_parts[next((n for n, part in enumerate(own_parts) if part.begin is not None), 0) :]
        origin, end = parts[0].start, parts[-1].end
        fastest = max(1, ceil(max(part.rate for part in parts)))
        fps = own.fps * max(1, min(fastest, floor(_MAX_FPS / own.fps)))
        if (end - origin) * fps > max_frames:
            raise TooLarge(f"The video has more than {max_frames} frames, which is the maximum.")
        length = max(1, round((end - origin) * fps))
        numbers, places = array("i"), array("q")
        for number, place in _places(own, begin, parts, fps, length):
            numbers.append(number)
            places.append(place)
        steps = (
            own.frame_at(after) - own.frame_at(before) - 1
            for (part, before), (same, after) in pairwise(zip(numbers, places, strict=True))
            if part == same
        )
        skipped = sum(step for step in steps if step > 0)
        timeline = replace(
            own, fps=fps, length=length, start=round(origin / own.time_base), indices=range(length), vfr=True
        )
        return cls(own, timeline, places, skipped, _parts(audio, audio_end), origin)

    def describe_left_out(self) -> Iterator[str]:
        """Describe what is not shown because a part is played very fast, or since nearly nothing is played."""
        count, played = len(self.own.indices), len({self.own.frame_at(place) for place in self.places})
        if played * _FEW <= count:
            yield f"The file's edit list plays only {played} of {count} frames."
        if self.skipped:
            yield (
                f"The file's edit list plays parts so fast that {self.skipped} of their frames are left out at "
                f"{float(self.timeline.fps):.5g} frames per second."
            )

    def audio_spans(self) -> list[tuple[Fraction, Fraction]]:
        """When there is audio, in seconds of the clock on which the video is played."""
        return [(part.start, part.end) for part in self._audio if part.begin is not None]

    def runs(self, indices: range) -> Iterator[Run]:
        """What to decode for some output frames, in order."""
        begin = indices.start
        for index in range(indices.start + 1, indices.stop + 1):
            step = self._place(index) - self._place(index - 1) if index < indices.stop else -1
            if not 0 <= step <= _LONGEST_SKIP:
                first = self._place(begin)
                counts = {place: len(list(group)) for place, group in groupby(map(self._place, range(begin, index)))}
                yield Run(first, [counts.get(place, 0) for place in range(first, self._place(index - 1) + 1)])
                begin = index

    def _place(self, index: int) -> int:
        return self.places[min(index, len(self.places) - 1)]  # the last frame may be held for the audio

    def audio(self, path: Path, stream: int, start_seconds: Fraction, first: Fraction) -> AudioPlan:
        """The audio that is played.

        Args:
            path: The file.
            stream: Its audio stream.
            start_seconds: When this begins, by its own clock.
            first: Seconds of the played video to leave out.
        """
        origin, elapsed = self._origin + first, Fraction(0)
        parts: list[tuple[AudioPlan | None, Fraction]] = []
        for part in self._audio:
            begin, end = max(part.start - origin, Fraction(0)), part.end - origin
            if part.begin is None or not part.rate or end <= elapsed:
                continue
            if begin > elapsed:
                parts.append((None, begin - elapsed))
            source = AudioSource(path, stream, start_seconds - part.place(origin + begin), ignores_edits=True)
            parts.append((source if part.rate == 1 else StretchedAudio(source, part.rate), end - begin))
            elapsed = end
        return AudioSequence(tuple(parts))


def _parts(edits: Sequence[Edit], end: Fraction) -> list[_Part]:
    """The parts that a list plays; the whole track if there is none."""
    parts, time = [], Fraction(0)
    for edit in edits or [Edit(end, Fraction(0))]:
        seconds = edit.seconds
        if not seconds and edit.begin is not None and edit.rate:
            seconds = max(Fraction(0), end - edit.begin) / edit.rate
        parts.append(_Part(time, time + seconds, edit.begin, edit.rate))
        time += seconds
    return parts


def _places(
    own: Timeline, begin: Fraction, parts: Sequence[_Part], fps: Fraction, length: int
) -> Iterator[tuple[int, int]]:
    """For each output frame the number of the part, and of the frame that it shows: in a pause, the one before."""
    number, place = 0, 0
    slack = _SLACK_FRAMES / fps
    for index in range(length):
        time = parts[0].start + index / fps
        while number + 1 < len(parts) and time + slack >= parts[number].end:
            number += 1
        if parts[number].begin is not None:
            place = floor((parts[number].place(time) - begin) * own.fps + _SLACK_FRAMES)
            place = min(max(place, 0), own.length - 1)
        yield number, place
