"""A section of a video, given by its begin and end time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from framepack.errors import InvalidField

if TYPE_CHECKING:
    from framepack.media.timeline.constant_rate import Timeline


@dataclass(frozen=True, slots=True)
class Section:
    """The frames that begin at or after ``begin`` and before ``end``; adjacent sections share no frame.

    Attributes:
        begin: Seconds from the first frame, 0 or more.
        end: Seconds from the first frame, more than ``begin``; None is the end of the video.
    """

    begin: Fraction = Fraction(0)
    end: Fraction | None = None

    def frame_range(self, timeline: Timeline) -> range:
        """The frame numbers of the section, at least one.

        Raises:
            InvalidField: The video ends before the section begins.
        """
        begin = ceil(self.begin * timeline.fps)
        end = timeline.length if self.end is None else min(timeline.length, ceil(self.end * timeline.fps))
        if begin >= end:
            seconds = float(timeline.length / timeline.fps)
            raise InvalidField(
                f"The video has no frame in the section from {float(self.begin):g} s on: it lasts {seconds:.3g} s."
            )
        return range(begin, end)
