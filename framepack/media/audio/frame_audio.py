"""The audio for extracted frames that are reassembled: cut and retimed like the frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

from framepack.media.clip import AudioPlan, AudioSequence, AudioSource, StretchedAudio

MIN_SPEED, MAX_SPEED = Fraction(1, 4), Fraction(4)
"""Range of speeds at which audio is played."""

MAX_RUNS: Final = 100


@dataclass(frozen=True, slots=True)
class FrameAudio:
    """The audio of the video from which frames were extracted.

    Attributes:
        audio: The audio, timed from the video's first frame.
        fps: Frame rate of the video.
        rate: Every ``rate``-th frame was extracted.
    """

    audio: AudioSource
    fps: Fraction
    rate: int

    def speed(self, fps: Fraction) -> Fraction:
        """Speed relative to the video at which the extracted frames play at ``fps``."""
        return fps * self.rate / self.fps

    def for_frames(self, frames: Sequence[int | None], fps: Fraction) -> AudioSequence:
        """The audio for frames played at ``fps``, of the same duration and in sync with each frame.

        Args:
            frames: For each frame its number in the video; None, which is silent, if it is not from the video.
            fps: Frame rate.
        """
        return AudioSequence(
            tuple(
                (None if first is None else self._from(first, self.speed(fps)), count / fps)
                for first, count in self.runs(frames)
            )
        )

    def runs(self, frames: Sequence[int | None]) -> list[tuple[int | None, int]]:
        """The runs of frames that are consecutive in the video: the first frame and the length of each."""
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
