"""Turning faces upright: the landmarks meet GFPGAN's template, and pixels are those of the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from framepack.models.faces.alignment import FACE_SIZE, AlignedCrop, Landmarks, SimilarityTransform
from tests.support.faces import drawn, landmarks_of
from tests.support.interpolation import psnr

TEMPLATE = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)


def moved(points: Landmarks, scale: float, degrees: float, shift: tuple[float, float]) -> Landmarks:
    """Points turned, scaled and shifted, by the textbook's matrix."""
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    result: Landmarks = points @ matrix.T + shift
    return result


@pytest.mark.parametrize("degrees", [0, 30, -90, 170])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_fit_recovers_a_known_transform(degrees: float, scale: float) -> None:
    """Landmarks that are the template, turned and scaled, meet the template again."""
    face = moved(TEMPLATE, scale, degrees, (40, -25))
    crop = AlignedCrop.from_landmarks(face, 4000, 4000)
    fitted = SimilarityTransform.fit(face, TEMPLATE)

    x, y = fitted(*torch.from_numpy(face.T))

    assert crop is None or crop.transform == fitted
    assert np.abs(torch.stack((x, y), 1).numpy() - TEMPLATE).max() < 1e-6
    assert fitted.scale == pytest.approx(1 / scale)


def test_fit_minimizes_the_squared_error() -> None:
    """For landmarks that fit no similarity exactly, every small change of the fitted one is farther."""
    face = TEMPLATE + np.random.default_rng(1).normal(0, 20, (5, 2))
    best = SimilarityTransform.fit(face, TEMPLATE)

    def distance(similarity: SimilarityTransform) -> float:
        x, y = similarity(*torch.from_numpy(face.T))
        return float(((torch.stack((x, y), 1).numpy() - TEMPLATE) ** 2).sum())

    for name, step in [("a", 0.01), ("b", 0.01), ("shift_x", 1.0), ("shift_y", 1.0)]:
        for sign in (-1, 1):
            values = {each: getattr(best, each) for each in ("a", "b", "shift_x", "shift_y")}
            values[name] += sign * step
            assert distance(SimilarityTransform(**values)) > distance(best)


def test_inverse_undoes_the_transform() -> None:
    """There and back again, a point is where it was."""
    there = SimilarityTransform(0.8, -1.3, 20, -7)
    x, y = there.inverse()(*there(torch.tensor([3.0, -50.0]), torch.tensor([11.0, 4.0])))
    assert torch.allclose(x, torch.tensor([3.0, -50.0]), atol=1e-4)
    assert torch.allclose(y, torch.tensor([11.0, 4.0]), atol=1e-4)


def test_a_face_at_the_template_position_is_extracted_unchanged() -> None:
    """Where nothing has to be turned or scaled, the pixels are the frame's own."""
    face = TEMPLATE + np.array([100, 50])
    frame = drawn((700, 600), [face])
    crop = AlignedCrop.from_landmarks(face, 700, 600)
    assert crop is not None
    assert psnr(crop.extract(frame), frame[:, 50:562, 100:612]) > 80


@pytest.mark.parametrize("degrees", [0, 25, -140])
@pytest.mark.parametrize("width", [60.0, 140.0, 500.0])
def test_extracted_faces_do_not_depend_on_position_and_rotation(degrees: float, width: float) -> None:
    """Whatever its size and tilt, the upright face shows the drawn spots in their places."""
    size = round(3 * width), round(3 * width)
    face = landmarks_of((1.5 * width, 1.5 * width), width, degrees)
    crop = AlignedCrop.from_landmarks(face, *size)
    assert crop is not None

    seen = crop.extract(drawn(size, [face]))

    assert seen.shape == (3, FACE_SIZE, FACE_SIZE)
    for (x, y), is_dark in zip(TEMPLATE.round().astype(int), (True, True, False, False, False), strict=True):
        red, green = (float(seen[channel, y - 4 : y + 5, x - 4 : x + 5].mean()) for channel in (0, 1))
        assert red < 0.35 if is_dark else red - green > 0.1


def test_crops_beyond_the_edge_are_mirrored() -> None:
    """Half of a face in the frame's corner is its own mirror image, never black."""
    frame = drawn((300, 200), [])
    crop = AlignedCrop.from_landmarks(landmarks_of((0, 100), 60), 300, 200)
    assert crop is not None
    assert crop.columns.start == 0
    assert float(crop.extract(frame).min()) > 0.2


def test_a_face_outside_the_frame_has_no_crop() -> None:
    """A face whose whole square is beyond the edge is not there."""
    assert AlignedCrop.from_landmarks(landmarks_of((-500, 100), 60), 300, 200) is None
    assert AlignedCrop.from_landmarks(landmarks_of((150, 900), 60), 300, 200) is None
