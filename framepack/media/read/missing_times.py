"""Times of frames whose packets have none, as in MPEG streams, which need a timestamp only every 0.7 seconds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median

from framepack.media.read.frame_order import NO_TIME


def with_all_times(
    times: Sequence[int], decoding_times: Sequence[int], are_keys: Sequence[bool], usual_duration: Fraction
) -> Sequence[int]:
    """Replace the presentation times of some frames by decoding times if any is missing.

    Where frames are reordered, a missing time is not between those of the neighbors in the file. But decoding times
    ascend from packet to packet, so missing ones are known; and in all, frames are shown at the times at which they
    are decoded, some frames later.

    Args:
        times: The presentation time of each frame, in order of decoding; ``NO_TIME`` if it has none.
        decoding_times: Its decoding time; ``NO_TIME`` if it has none.
        are_keys: Whether it is a key frame.
        usual_duration: The duration of a frame, if no two decoding times tell it; 0 if it is not known.

    Returns:
        The times themselves if none is missing, or nothing is known about decoding.
    """
    if NO_TIME not in times:
        return times
    delays = [
        (is_key, shown - decoded)
        for shown, decoded, is_key in zip(times, decoding_times, are_keys, strict=True)
        if NO_TIME not in {shown, decoded}
    ]
    # A key frame before which no later one is shown has the least delay of key frames, which is that of all frames.
    of_keys = [delay for is_key, delay in delays if is_key]
    delay = max(0, min(of_keys or [delay for _, delay in delays], default=0))
    return [time + delay for time in _filled(decoding_times, usual_duration)] or times


def _filled(times: Sequence[int], usual_duration: Fraction) -> list[int]:
    """Ascending times with every missing one put in its place; empty if that cannot be told."""
    known = [index for index, time in enumerate(times) if time != NO_TIME]
    usual = median(_steps(times, known) or [usual_duration])
    if not known or usual <= 0:
        return []
    wrong = {
        index
        for before, index, after in zip(known, known[1:], known[2:], strict=False)
        if _agree(times, before, after, usual) and not _agree(times, before, index, usual)
    }
    known = [index for index in known if index not in wrong]
    filled = [times[known[0]] - round((known[0] - index) * usual) for index in range(known[0])]
    for before, end, step in zip(known, [*known[1:], len(times)], [*_steps(times, known), usual], strict=True):
        filled += [times[before] + round(index * step) for index in range(end - before)]
    return filled


def _steps(times: Sequence[int], known: list[int]) -> list[Fraction]:
    """The interval from one frame to the next, between those whose times are known."""
    return [Fraction(times[after] - times[before], after - before) for before, after in pairwise(known)]


def _agree(times: Sequence[int], before: int, after: int, usual: Fraction) -> bool:
    """Whether frames between two come at the usual interval. FFmpeg gives some times to the frame before theirs."""
    return abs(times[after] - times[before] - (after - before) * usual) < usual / 4


def with_leading_frames(times: Sequence[int]) -> Sequence[int]:
    """Move frames that belong before the key frame at the beginning to their places.

    Where a file is cut before an open group of frames, without a new encoding, B-frames come after the key frame that
    are shown before it. FFmpeg allows no times before the beginning, and gives them that of the key frame or the next
    free ones.

    Args:
        times: The presentation time of each frame, in order of decoding, from a key frame on.

    Returns:
        The times themselves if there are no such frames.
    """
    count = next((number for number, time in enumerate(times) if not 0 <= time - times[0] <= number), len(times))
    later = times[count:]
    steps = [after - before for before, after in pairwise(sorted(later))]
    if count < 2 or len(later) < 3 or NO_TIME in times or later[0] < later[1]:  # noqa: PLR2004 - see below
        return times  # no other frame has the time of the first, or no B-frames follow
    usual = int(median(steps))
    if min(steps) <= count or later[1] - times[0] <= 2 * count:  # frames are that close everywhere
        return times
    return [times[0], *(times[0] - (count - number) * usual for number in range(1, count)), *later]
