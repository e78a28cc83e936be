"""When a file ends, and with it the last frame."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MOST_LATE_SECONDS: Final = 1
_LEAST_SECONDS: Final = Fraction(1, 100)


def declared_end(container: InputContainer, video: VideoStream) -> Fraction | None:
    """End time of the video in seconds, as the header has it."""
    if video.duration:
        return ((video.start_time or 0) + video.duration) * (video.time_base or Fraction(1, 90_000))
    if container.duration:
        return Fraction((container.start_time or 0) + container.duration, MICROSECONDS)
    return None


def seconds_to_end(times: Sequence[int], time_base: Fraction, end: Fraction) -> Fraction | None:
    """Seconds for which the last of some slides stays, if the file ends long before another one would follow.

    Otherwise, and if the file says no time, None: then the last frame may stay as long as the others.

    Args:
        times: The sorted times of the frames.
        time_base: Seconds per unit of a time.
        end: When the file ends, in seconds of the same clock.
    """
    if len(times) < 2 or times[-1] - times[0] <= (len(times) - 1) * _MOST_LATE_SECONDS / time_base:  # noqa: PLR2004
        return None  # frames come too fast on average
    left = end - times[-1] * time_base
    interval = min(after - before for before, after in pairwise(times)) * time_base
    return left if left >= _LEAST_SECONDS and interval - left > _MOST_LATE_SECONDS else None
