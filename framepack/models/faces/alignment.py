"""Align faces: the similarity transform between a frame and an upright 512 x 512 crop of a face."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Landmarks = NDArray[np.float64]
"""Eyes, tip of the nose, corners of the mouth, left before right as seen in the frame: (x, y), shape (5, 2)."""

FACE_SIZE: Final = 512

# Positions of the landmarks for which GFPGAN was trained: FFHQ faces at 512 x 512, as facexlib (MIT) lists them.
_TEMPLATE: Final = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)
_MAX_SAMPLES: Final = 4  # per pixel of the crop, in each direction
_MARGIN: Final = 3  # pixels around a point that bicubic interpolation reads


@dataclass(frozen=True, slots=True)
class SimilarityTransform:
    """Rotation, uniform scale and translation: (x, y) becomes (a x - b y + shift_x, b x + a y + shift_y)."""

    a: float
    b: float
    shift_x: float
    shift_y: float

    @classmethod
    def fit(cls, points: Landmarks, targets: Landmarks) -> SimilarityTransform:
        """Fit ``points`` to ``targets`` by least squares; the points must not all be equal."""
        # Both sets are centered, which removes the translation. With points as complex numbers, rotation and scale
        # are then one complex factor a + bi, for which least squares has the closed form below.
        center, target = points.mean(0), targets.mean(0)
        (x, y), (u, v) = (points - center).T, (targets - target).T
        size = (x**2 + y**2).sum()
        a, b = float((x * u + y * v).sum() / size), float((x * v - y * u).sum() / size)
        shift_x, shift_y = target - (a * center[0] - b * center[1], b * center[0] + a * center[1])
        return cls(a, b, float(shift_x), float(shift_y))

    @property
    def scale(self) -> float:
        """Factor by which distances grow."""
        return math.hypot(self.a, self.b)

    def inverse(self) -> SimilarityTransform:
        """Return the inverse transform."""
        size = self.a**2 + self.b**2
        a, b = self.a / size, -self.b / size
        return SimilarityTransform(a, b, b * self.shift_y - a * self.shift_x, -b * self.shift_x - a * self.shift_y)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Transform points."""
        return self.a * x - self.b * y + self.shift_x, self.b * x + self.a * y + self.shift_y


@dataclass(frozen=True, slots=True)
class AlignedCrop:
    """An upright square crop of a face: where it is in a frame.

    Attributes:
        transform: From pixels of the frame to pixels of the crop.
        rows: Rows of the frame that the crop touches.
        columns: Columns of the frame that the crop touches.
    """

    transform: SimilarityTransform
    rows: slice
    columns: slice

    @classmethod
    def from_landmarks(cls, landmarks: Landmarks, width: int, height: int) -> AlignedCrop | None:
        """Align a face in a frame of this size; None if the crop is outside of the frame."""
        transform = SimilarityTransform.fit(landmarks, np.array(_TEMPLATE))
        edge = torch.tensor([-0.5, FACE_SIZE - 0.5], dtype=torch.float64)
        x, y = transform.inverse()(*torch.meshgrid(edge, edge, indexing="xy"))
        columns, rows = _covered(x, width), _covered(y, height)
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        return cls(transform, rows, columns)

    def extract(self, frame: Tensor) -> Tensor:
        """Extract the crop from a frame, mirrored beyond the frame's edges.

        A face larger than 512 pixels is sampled several times per pixel and averaged, which prevents aliasing.

        Args:
            frame: RGB, shape (3, H, W), any float dtype, range 0..1.

        Returns:
            RGB, shape (3, 512, 512), float32, range 0..1, on the same device.
        """
        samples = min(max(1, round(1 / self.transform.scale)), _MAX_SAMPLES)
        steps = (torch.arange(FACE_SIZE * samples, device=frame.device) + 0.5) / samples - 0.5
        x, y = self.transform.inverse()(steps[None, :], steps[:, None])
        rows, columns = (
            slice(max(0, span.start - _MARGIN), span.stop + _MARGIN) for span in (self.rows, self.columns)
        )
        region = frame[:, rows, columns].float()
        sampled = sample(region, x - columns.start, y - rows.start, "reflection")
        return functional.avg_pool2d(sampled, samples).clamp_(0, 1)


def sample(frame: Tensor, x: Tensor, y: Tensor, padding_mode: str) -> Tensor:
    """Sample a frame at points between its pixels, by bicubic interpolation.

    Args:
        frame: Shape (C, H, W), float32.
        x: X coordinates, shape (h, w); integers are centers of pixels.
        y: Y coordinates, likewise.
        padding_mode: How to continue the frame beyond its edges: "reflection" or "border".

    Returns:
        Shape (C, h, w), float32.
    """
    height, width = frame.shape[-2:]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), -1)[None]
    return functional.grid_sample(frame[None], grid, "bicubic", padding_mode, align_corners=False)[0]


def _covered(corners: Tensor, length: int) -> slice:
    """Return the rows or columns between the corners of the crop, within the frame."""
    first, last = math.floor(float(corners.min())), math.ceil(float(corners.max()))
    return slice(min(max(0, first), length), max(0, min(last + 1, length)))
