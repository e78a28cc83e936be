"""Following faces: steady where the detector trembles, whole where it blinks, and never across a cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from framepack.models.faces.alignment import Landmarks
from framepack.models.faces.detector import Detection
from framepack.models.faces.tracking import LOOKAHEAD, Face, Tracker
from tests.support.faces import landmarks_of

EncodedFrame = Sequence[Sequence[Landmarks]]


def at(right: float, down: float = 0) -> Landmarks:
    """A face that has moved so far."""
    return landmarks_of((100 + right, 100 + down), 60)


HERE = at(0)


def followed(*scenes: EncodedFrame, score: float = 0.9) -> list[list[Face]]:
    """The faces of all frames of some scenes."""
    tracker, shown = Tracker(), list[list[Face]]()
    for scene in scenes:
        for faces in scene:
            shown += tracker.update([Detection(face, score) for face in faces])
        shown += tracker.end_scene()
    return shown


def strengths(shown: list[list[Face]]) -> list[float]:
    """How much of the one face shows in each frame, 0 where there is none."""
    assert all(len(faces) <= 1 for faces in shown)
    return [round(faces[0].strength, 2) if faces else 0.0 for faces in shown]


def trembling(count: int, pixels: float = 2.0, seed: int = 0) -> EncodedFrame:
    """A face that stays where it is, seen by a trembling detector."""
    random = np.random.default_rng(seed)
    return [[HERE + random.normal(0, pixels, (5, 2))] for _ in range(count)]


def test_faces_are_returned_for_every_frame_in_order() -> None:
    """As many answers as frames, each a few frames late, the rest at the end of the scene."""
    tracker = Tracker()
    answers = [len(tracker.update([Detection(HERE, 0.9)])) for _ in range(20)]
    assert answers == [0] * LOOKAHEAD + [1] * (20 - LOOKAHEAD)
    assert len(tracker.end_scene()) == LOOKAHEAD
    assert tracker.end_scene() == []


def test_smoothing_reduces_the_jitter_of_a_still_face() -> None:
    """The landmarks' trembling is less than half of the detector's, around the same place."""
    seen = trembling(200)
    shown = np.stack([faces[0].landmarks for faces in followed(seen)])
    raw = np.stack([faces[0] for faces in seen])
    assert shown.std(0).mean() < 0.5 * raw.std(0).mean()
    assert np.abs(shown.mean(0) - HERE).max() < 0.5


def test_smoothing_does_not_lag_behind_a_moving_face() -> None:
    """Steady motion is followed exactly, from the first frame to the last."""
    seen = [[at(7 * number, -3 * number)] for number in range(30)]
    for faces, [truth] in zip(followed(seen), seen, strict=True):
        assert np.abs(faces[0].landmarks - truth).max() < 1e-6


@pytest.mark.parametrize("missed", [1, 2, 3])
def test_short_gaps_are_bridged(missed: int) -> None:
    """A moving face that is missed in up to three frames is shown in them, wholly and in its place."""
    seen = [[at(4 * number)] for number in range(24)]
    gap = range(10, 10 + missed)
    shown = followed([[] if number in gap else faces for number, faces in enumerate(seen)])
    assert strengths(shown) == [1.0] * 24
    for number in gap:
        assert np.abs(shown[number][0].landmarks - seen[number][0]).max() < 0.1


def test_a_long_gap_starts_a_new_track() -> None:
    """A face that is away for four frames fades out and in again."""
    shown = strengths(followed([[HERE]] * 8 + [[]] * 4 + [[HERE]] * 8))
    assert shown == [1] * 6 + [0.67, 0.33] + [0] * 4 + [0.33, 0.67] + [1] * 6


def test_a_face_that_leaves_fades_out() -> None:
    """A face that walks out of the frame is gone when it is gone, and stays gone."""
    shown = strengths(followed([[at(-6 * number)] for number in range(12)] + [[]] * 10))
    assert shown == [1] * 10 + [0.67, 0.33] + [0] * 10


def test_a_false_detection_in_one_frame_is_faint() -> None:
    """What is seen in a single frame of a scene is shown at a third."""
    assert strengths(followed([[]] * 8 + [[HERE]] + [[]] * 8)) == [0] * 8 + [0.33] + [0] * 8


@pytest.mark.parametrize("count", [1, 2, 5, 6, 30])
def test_a_face_of_a_whole_scene_has_full_strength(count: int) -> None:
    """A face that is there from a scene's first to its last frame is never faded."""
    assert strengths(followed([[HERE]] * count)) == [1.0] * count


def test_no_track_continues_after_a_cut() -> None:
    """Across a cut nothing is smoothed, bridged or faded."""
    there = HERE + 20.0
    shown = followed([[HERE]] * 7, [[there]] * 7, [[]] * 3)
    assert strengths(shown) == [1] * 14 + [0] * 3
    for number, faces in enumerate(shown[:14]):
        assert np.array_equal(faces[0].landmarks.round(6), (HERE if number < 7 else there).round(6))


def test_two_faces_are_two_tracks() -> None:
    """Faces that move past each other keep their own landmarks, in whatever order they are detected."""
    left = [at(8 * number) for number in range(30)]
    right = [at(250 - 8 * number, 40) for number in range(30)]
    seen = [[a, b] if number % 2 else [b, a] for number, (a, b) in enumerate(zip(left, right, strict=True))]
    for faces, one, other in zip(followed(seen), right, left, strict=True):
        assert all(
            np.abs(face.landmarks - truth).max() < 1e-6 for face, truth in zip(faces, (one, other), strict=True)
        )


def test_a_track_needs_one_detection_with_a_high_score() -> None:
    """A face that is never sure is not shown; one that was is followed while it is seen at all."""
    assert strengths(followed([[HERE]] * 10, score=0.6)) == [0] * 10
    tracker, shown = Tracker(), list[list[Face]]()
    for number in range(10):
        shown += tracker.update([Detection(HERE, 0.8 if number == 0 else 0.55)])
    assert strengths(shown + tracker.end_scene()) == [1] * 10


def test_old_detections_are_dropped() -> None:
    """After a long scene with many faces, only the last frames' detections are kept."""
    tracker = Tracker()
    for number in range(500):
        tracker.update([Detection(landmarks_of((100 + 300 * (number % 7), 100), 60), 0.9)])
    assert len(tracker._tracks) <= 2 * LOOKAHEAD
    assert all(len(track.detections) <= 2 * LOOKAHEAD + 1 for track in tracker._tracks)
