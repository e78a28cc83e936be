"""The audio for frames that were taken from a video: cut and re-timed as its frames were."""

from __future__ import annotations

from collections.abc import Sequence as Numbers
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

from framepack.media.clip import AudioPlan, AudioSource, Sequence, StretchedAudio

SLOWEST, FASTEST = Fraction(1, 4), Fraction(4)
"""How far an audio may be stretched."""

MAX_PIECES: Final = 100


@dataclass(frozen=True, slots=True)
class FrameAudio:
    """The audio of the video that frames come from.

    Attributes:
        audio: The audio, timed from the video's first frame.
        fps: Frames per second of the video.
        rate: Every which frame was taken.
    """

    audio: AudioSource
    fps: Fraction
    rate: int

    def speed(self, fps: Fraction) -> Fraction:
        """How many times as fast as in the video frames pass when ``fps`` are shown per second."""
        return fps * self.rate / self.fps

    def under(self, frames: Numbers[int | None], fps: Fraction) -> Sequence:
        """The audio under frames shown at ``fps``, as long as they are and in step with each of them.

        Args:
            frames: Which frame of the video each one shows; None for one that is not of the video, which is silent.
            fps: How many are shown per second.
        """
        return Sequence(
            tuple(
                (None if first is None else self._from(first, self.speed(fps)), count / fps)
                for first, count in self.pieces(frames)
            )
        )

    def pieces(self, frames: Numbers[int | None]) -> list[tuple[int | None, int]]:
        """The runs of frames that follow each other in the video: the first of each and how many there are."""
        runs = [(frame, 1) for frame in frames[:1]]
        for before, frame in pairwise(frames):
            follows = frame is before if before is None or frame is None else frame == before + self.rate
            if follows:
                runs[-1] = runs[-1][0], runs[-1][1] + 1
            else:
                runs.append((frame, 1))
        return runs

    def _from(self, frame: int, speed: Fraction) -> AudioPlan:
        cut = replace(self.audio, delay=self.audio.delay - frame / self.fps)
        return cut if speed == 1 else StretchedAudio(cut, speed)
