"""Times of frames whose packets have none, as in MPEG streams, or wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median, median_low
from typing import TYPE_CHECKING, Final

from framepack.media.read.frame_order import NO_TIME
from framepack.media.timeline.constant_rate import MAX_FPS

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_PROGRAM_STREAM: Final = "mpeg"
_SAME: Final = Fraction(1, 10)  # of a frame
_MOST_MISPLACED: Final = 4  # frames
_LONGEST_STRETCH: Final = 200  # frames


def frame_duration(video: VideoStream, of_packets: Sequence[int]) -> Fraction:
    """The duration of a frame in seconds, as the header or the first frames tell it; 0 if they do not.

    Args:
        video: The stream.
        of_packets: The durations of its packets, in units of timestamps. Where a stream has very few frames, only
            they tell the rate of frames from that of fields.
    """
    average = video.average_rate
    if average and average <= MAX_FPS:
        return 1 / average
    seconds = median_low(of_packets) * (video.time_base or Fraction(0)) if of_packets else Fraction(0)
    if seconds * MAX_FPS >= 1:
        return seconds
    guessed = video.guessed_rate
    return 1 / guessed if guessed and guessed <= MAX_FPS else Fraction(0)


def repaired_times(
    container: str,
    times: Sequence[int],
    decoding_times: Sequence[int],
    are_keys: Sequence[bool],
    usual_duration: Fraction,
) -> Sequence[int]:
    """The presentation times of frames, repaired; see the functions below.

    Args:
        container: FFmpeg's name of the container.
        times: The presentation time of each frame, in order of decoding; ``NO_TIME`` if it has none.
        decoding_times: Its decoding time; ``NO_TIME`` if it has none.
        are_keys: Whether it is a key frame.
        usual_duration: The duration of a frame, if no two decoding times tell it; 0 if it is not known.
    """
    times = with_leading_frames(with_all_times(times, decoding_times, are_keys, usual_duration))
    return without_misplaced_stretches(times, usual_duration) if container == _PROGRAM_STREAM else times


def with_all_times(
    times: Sequence[int], decoding_times: Sequence[int], are_keys: Sequence[bool], usual_duration: Fraction
) -> Sequence[int]:
    """Replace the presentation times of some frames by decoding times if any is missing.

    Where frames are reordered, a missing time is not between those of the neighbors in the file. But decoding times
    ascend from packet to packet, so missing ones are known; and in all, frames are shown at the times at which they
    are decoded, some frames later.

    Returns the times themselves if none is missing, or nothing is known about decoding.
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
    """Ascending times with every missing one put in its place; empty if that cannot be told.

    Of two frames with the same time, one after the other, only the second one has its own.
    """
    later = [*times[1:], NO_TIME]
    known = [index for index, time in enumerate(times) if time not in {NO_TIME, later[index]}]
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


def without_misplaced_stretches(times: Sequence[int], usual_duration: Fraction) -> Sequence[int]:
    """Move frames to their places that are early or late by whole frames for a while.

    In program streams FFmpeg gives some timestamps to a frame before or after theirs, and counts on from there up to
    the next one. So times are missing and others doubled, and then frames are again where they would have been. A
    frame that is really missing moves all that follow.

    Args:
        times: The presentation times of frames at a constant rate, in any order, all known.
        usual_duration: The duration of a frame; 0 if it is not known.
    """
    order = sorted(range(len(times)), key=times.__getitem__)
    steps = [times[after] - times[before] for before, after in pairwise(order)]
    if NO_TIME in times or not usual_duration or 0 not in steps or abs(median(steps) - usual_duration) > 1:
        return times
    first = times[order[0]]
    late = [(times[number] - first) / usual_duration - place for place, number in enumerate(order)]
    repaired, usually, place = list(times), Fraction(0), 0
    while place < len(order):
        end = _end_of_stretch(late, place, usually)
        for shown in range(place, end):
            repaired[order[shown]] = first + round((shown + usually) * usual_duration)
        if end == place:
            usually, end = late[place], place + 1
        place = end
    return repaired


def _end_of_stretch(late: Sequence[Fraction], begin: int, usually: Fraction) -> int:
    """The place from which frames are as late as usually; ``begin`` if they are there, or do not become so again.

    Those that are early by a whole frame may stay so up to the end: only doubled times make them early.
    """
    most = min(begin + _LONGEST_STRETCH, len(late))
    for place in range(begin, most):
        if abs(late[place] - usually) <= _SAME:
            return place
        if abs(late[place] - usually) > _MOST_MISPLACED:
            return begin
    return most if most == len(late) and late[begin] - usually <= _SAME - 1 else begin
