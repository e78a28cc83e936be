"""Follow faces from frame to frame, so that they do not flicker.

A detector looks at every frame anew: its landmarks tremble, it misses a face now and then, and sees one for a
moment where there is none. Here detections become tracks. A face is shown with its landmarks smoothed over the
frames before and after (a straight line fitted through them, so that motion does not lag), gaps of up to three
frames are bridged, and a face that appears or disappears within a scene is faded. That needs five frames of
look-ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from framepack.models.faces.detector import spread

if TYPE_CHECKING:
    from framepack.models.faces.alignment import Landmarks
    from framepack.models.faces.detector import Detection

SURE: Final = 0.7  # score that a face needs once; afterwards it is followed while the detector sees it at all
FADE: Final = 3  # frames from nothing to all of a face
GAP: Final = 3  # frames in which a face may be missed
LOOK_AHEAD: Final = GAP + FADE - 1  # a face's end is known before its fading begins

_SPREAD: Final = 2.0  # standard deviation of the smoothing, in frames
_REACH: Final = 1.5  # how far a face may be from where it was expected, in spreads of its landmarks


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face of one frame: its landmarks in pixels, and how much of its restored self is shown, 0 to 1."""

    landmarks: Landmarks
    strength: float


@dataclass(slots=True, eq=False)
class _Track:
    """One face: where it was seen, by the frames' numbers."""

    sightings: dict[int, Landmarks]
    is_first: bool  # whether its scene begins with it
    first: int = field(init=False)

    def __post_init__(self) -> None:
        self.first = next(iter(self.sightings))

    @property
    def last(self) -> int:
        """The last frame in which it was seen."""
        return next(reversed(self.sightings))

    def expected(self, number: int) -> Landmarks:
        """Where it would be if it moved on as it did last."""
        last = self.last
        here = self.sightings[last]
        if len(self.sightings) < 2:  # noqa: PLR2004 - motion takes two
            return here
        before = list(self.sightings)[-2]
        motion = (here.mean(0) - self.sightings[before].mean(0)) / (last - before)
        moved: Landmarks = here + motion * (number - last)
        return moved

    def at(self, number: int) -> Landmarks:
        """Its landmarks, smoothed."""
        near = [each for each in self.sightings if abs(each - number) <= LOOK_AHEAD]
        times = np.array(near, np.float64) - number
        points = np.stack([self.sightings[each] for each in near])
        weights = np.exp(-0.5 * (times / _SPREAD) ** 2)
        weights /= weights.sum()
        middle, mean = weights @ times, np.einsum("t,tpc->pc", weights, points)
        width = weights @ (times - middle) ** 2
        slope = np.einsum("t,tpc->pc", weights * (times - middle), points) / width if width else 0.0
        smoothed: Landmarks = mean - slope * middle
        return smoothed


class Tracker:
    """Turns the detections of a stream of frames into steady faces; keeps a few frames' landmarks."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._seen = 0  # frames of the scene
        self._shown = 0

    def see(self, detections: Sequence[Detection]) -> list[list[Face]]:
        """Take the detections of the scene's next frame.

        Returns:
            The faces of the frame that came ``LOOK_AHEAD`` frames earlier in this scene; nothing before there is
            one.
        """
        self._match(detections)
        self._seen += 1
        return [self._show(ended=False)] if self._seen > LOOK_AHEAD else []

    def end_scene(self) -> list[list[Face]]:
        """End the scene; what comes next has nothing to do with it.

        Returns:
            The faces of each of the frames still owed, in order.
        """
        owed = [self._show(ended=True) for _ in range(self._shown, self._seen)]
        self._tracks, self._seen, self._shown = [], 0, 0
        return owed

    def _match(self, detections: Sequence[Detection]) -> None:
        """Give every detection to the track that expects it, the closest pairs first, or to a new one."""
        number = self._seen
        alive = [track for track in self._tracks if number - track.last <= GAP + 1]
        expected = [track.expected(number) for track in alive]
        distances = sorted(
            (_distance(where, detection.landmarks), place, index)
            for place, where in enumerate(expected)
            for index, detection in enumerate(detections)
        )
        free, new = set(range(len(alive))), set(range(len(detections)))
        for distance, place, index in distances:
            if distance <= _REACH and place in free and index in new:
                free.remove(place)
                new.remove(index)
                alive[place].sightings[number] = detections[index].landmarks
        self._tracks += [
            _Track({number: detections[index].landmarks}, is_first=not number)
            for index in sorted(new)
            if detections[index].score >= SURE
        ]

    def _show(self, *, ended: bool) -> list[Face]:
        number, self._shown = self._shown, self._shown + 1
        self._forget(number)
        faces = []
        for track in self._tracks:
            if track.first <= number <= track.last:
                is_last = ended and track.last == self._seen - 1
                since = FADE if track.is_first else number - track.first + 1
                until = FADE if is_last else track.last - number + 1
                faces.append(Face(track.at(number), min(since, until, FADE) / FADE))
        return faces

    def _forget(self, number: int) -> None:
        """Drop what no frame from ``number`` on needs."""
        self._tracks = [track for track in self._tracks if track.last >= number]
        for track in self._tracks:
            kept = {each: points for each, points in track.sightings.items() if each >= number - LOOK_AHEAD}
            track.sightings = kept


def _distance(expected: Landmarks, found: Landmarks) -> float:
    """Mean distance of the landmarks, in spreads of the smaller face."""
    size = min(spread(expected), spread(found))
    return float(np.linalg.norm(expected - found, axis=1).mean()) / max(size, 1e-6)
