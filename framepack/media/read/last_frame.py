"""When a file ends, and with it the last frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from framepack.units import MICROSECONDS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MOST_LATE_SECONDS: Final = Fraction(1)
_MOST_LATE_SHARE: Final = Fraction(1, 100)
_LEAST_SECONDS: Final = Fraction(1, 100)


def declared_end(container: InputContainer, video: VideoStream) -> Fraction | None:
    """End time of the video in seconds, as the header has it."""
    if video.duration:
        return ((video.start_time or 0) + video.duration) * (video.time_base or Fraction(1, 90_000))
    if container.duration:
        return Fraction((container.start_time or 0) + container.duration, MICROSECONDS)
    return None


@dataclass(frozen=True, slots=True)
class FileEnds:
    """When a file ends, in seconds of the video's clock.

    Attributes:
        declared: As the header has it, which may count from time 0 or from the first frame.
        others: The end of the last packet of the other streams.
        packets: The end of the last packet of all streams, which may follow from a wrong rate.
    """

    declared: Fraction
    others: Fraction
    packets: Fraction

    def seconds_to(self, times: Sequence[int], time_base: Fraction) -> Fraction | None:
        """Seconds for which the last of some slides stays, if the file ends long before another one would follow.

        Otherwise, and if the file says no time, None: then the last frame may stay as long as the others.

        Args:
            times: The sorted times of the frames.
            time_base: Seconds per unit of a time.
        """
        if len(times) < 2 or times[-1] - times[0] <= (len(times) - 1) * _MOST_LATE_SECONDS / time_base:  # noqa: PLR2004
            return None  # frames come too fast on average
        last = times[-1] * time_base
        left = (max(self.declared, self.others) if self.declared > last else self.packets) - last
        interval = min(after - before for before, after in pairwise(times)) * time_base
        # Half of an interval is that of fields, which FFmpeg may take for frames. A hundredth of a long recording is
        # not worth a higher rate of all of it.
        limits = (_MOST_LATE_SECONDS, interval / 2, (last - times[0] * time_base) * _MOST_LATE_SHARE)
        is_early = all(interval - left > limit for limit in limits)
        return left if left >= _LEAST_SECONDS and is_early else None
