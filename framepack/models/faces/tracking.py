"""Track faces from frame to frame, so that restored faces do not flicker.

A detector treats every frame independently: its landmarks jitter, it sometimes misses a face, and sometimes reports
one that is not there. This module links detections to tracks. Landmarks are smoothed over the frames before and after
(by fitting a line through them, so that motion does not lag), gaps of up to three frames are bridged, and a face that
appears or disappears within a scene is faded in or out. This needs five frames of lookahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from framepack.models.faces.detector import rms_radius

if TYPE_CHECKING:
    from framepack.models.faces.alignment import Landmarks
    from framepack.models.faces.detector import Detection

MIN_START_SCORE: Final = 0.7  # score that starts a track; later detections may have any score
FADE_FRAMES: Final = 3  # frames from zero to full strength
MAX_GAP: Final = 3  # frames without a detection that a track may have
LOOKAHEAD: Final = MAX_GAP + FADE_FRAMES - 1  # the end of a track is known before its fade-out begins

_SMOOTHING_SIGMA: Final = 2.0  # frames
_MAX_DISTANCE: Final = 1.5  # from the predicted position, relative to the RMS radius of the landmarks


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A tracked face in one frame: landmarks in pixels, and the strength of its restoration, 0 to 1."""

    landmarks: Landmarks
    strength: float


@dataclass(slots=True, eq=False)
class _Track:
    """The detections of one face, by frame number."""

    detections: dict[int, Landmarks]
    is_first: bool  # whether it starts with its scene
    first: int = field(init=False)

    def __post_init__(self) -> None:
        self.first = next(iter(self.detections))

    @property
    def last(self) -> int:
        """Number of the last frame with a detection."""
        return next(reversed(self.detections))

    def predicted(self, number: int) -> Landmarks:
        """Predict its landmarks in a frame, at constant velocity."""
        last = self.last
        latest = self.detections[last]
        if len(self.detections) < 2:  # noqa: PLR2004 - velocity takes two
            return latest
        previous = list(self.detections)[-2]
        motion = (latest.mean(0) - self.detections[previous].mean(0)) / (last - previous)
        moved: Landmarks = latest + motion * (number - last)
        return moved

    def smoothed(self, number: int) -> Landmarks:
        """Return its landmarks in a frame: a line fitted through nearby detections, weighted by a Gaussian."""
        near = [each for each in self.detections if abs(each - number) <= LOOKAHEAD]
        times = np.array(near, np.float64) - number
        points = np.stack([self.detections[each] for each in near])
        weights = np.exp(-0.5 * (times / _SMOOTHING_SIGMA) ** 2)
        weights /= weights.sum()
        center, mean = weights @ times, np.einsum("t,tpc->pc", weights, points)
        variance = weights @ (times - center) ** 2
        slope = np.einsum("t,tpc->pc", weights * (times - center), points) / variance if variance else 0.0
        landmarks: Landmarks = mean - slope * center
        return landmarks


class Tracker:
    """Turns the detections of successive frames into steady faces; keeps the landmarks of a few frames."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._received = 0  # frames of the current scene whose detections are known
        self._returned = 0  # frames whose faces have been returned

    def update(self, detections: Sequence[Detection]) -> list[list[Face]]:
        """Add the detections of the next frame of the scene.

        Returns:
            A list with the faces of the frame ``LOOKAHEAD`` frames earlier, or an empty list if there is none.
        """
        self._match(detections)
        self._received += 1
        return [self._next_faces(ended=False)] if self._received > LOOKAHEAD else []

    def end_scene(self) -> list[list[Face]]:
        """End the scene; no track continues after it.

        Returns:
            The faces of each of the remaining frames, in order.
        """
        remaining = [self._next_faces(ended=True) for _ in range(self._returned, self._received)]
        self._tracks, self._received, self._returned = [], 0, 0
        return remaining

    def _match(self, detections: Sequence[Detection]) -> None:
        """Assign each detection to a track by its predicted position, closest pairs first, or start a new track."""
        number = self._received
        active = [track for track in self._tracks if number - track.last <= MAX_GAP + 1]
        predictions = [track.predicted(number) for track in active]
        distances = sorted(
            (_distance(landmarks, detection.landmarks), track_index, index)
            for track_index, landmarks in enumerate(predictions)
            for index, detection in enumerate(detections)
        )
        free, new = set(range(len(active))), set(range(len(detections)))
        for distance, track_index, index in distances:
            if distance <= _MAX_DISTANCE and track_index in free and index in new:
                free.remove(track_index)
                new.remove(index)
                active[track_index].detections[number] = detections[index].landmarks
        self._tracks += [
            _Track({number: detections[index].landmarks}, is_first=not number)
            for index in sorted(new)
            if detections[index].score >= MIN_START_SCORE
        ]

    def _next_faces(self, *, ended: bool) -> list[Face]:
        """Return the faces of the next frame, faded near both ends of their tracks.

        Within a scene every face fades, but a track that starts or ends together with its scene is shown in full.
        """
        number, self._returned = self._returned, self._returned + 1
        self._forget(number)
        faces = []
        for track in self._tracks:
            if track.first <= number <= track.last:
                is_last = ended and track.last == self._received - 1
                since_start = FADE_FRAMES if track.is_first else number - track.first + 1
                until_end = FADE_FRAMES if is_last else track.last - number + 1
                faces.append(Face(track.smoothed(number), min(since_start, until_end, FADE_FRAMES) / FADE_FRAMES))
        return faces

    def _forget(self, number: int) -> None:
        """Drop everything that frame ``number`` and later frames do not need."""
        self._tracks = [track for track in self._tracks if track.last >= number]
        for track in self._tracks:
            kept = {each: points for each, points in track.detections.items() if each >= number - LOOKAHEAD}
            track.detections = kept


def _distance(one: Landmarks, other: Landmarks) -> float:
    """Return the mean distance of the landmarks, relative to the RMS radius of the smaller face."""
    size = min(rms_radius(one), rms_radius(other))
    return float(np.linalg.norm(one - other, axis=1).mean()) / max(size, 1e-6)
