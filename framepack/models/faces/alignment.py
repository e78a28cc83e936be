"""Turn faces upright: where a face lies in a frame, and what it looks like from the front in 512 x 512 pixels."""

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
"""Two eyes, tip of the nose, two corners of the mouth, pairs from the frame's left: (x, y), shape (5, 2)."""

SIDE: Final = 512

# Where GFPGAN has learned to see the landmarks: those of FFHQ's faces at 512 x 512, as facexlib (MIT) gives them.
_TEMPLATE: Final = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)
_MOST_SAMPLES: Final = 4  # across a pixel of the upright face
_TAPS: Final = 3  # pixels that interpolation sees around a point


@dataclass(frozen=True, slots=True)
class Similarity:
    """Rotation, scale and shift: ``(x, y)`` becomes ``(a x - b y + right, b x + a y + down)``."""

    a: float
    b: float
    right: float
    down: float

    @classmethod
    def fit(cls, points: Landmarks, targets: Landmarks) -> Similarity:
        """The one that brings ``points`` closest to ``targets``, by least squares; points must not all be one."""
        middle, goal = points.mean(0), targets.mean(0)
        (x, y), (u, v) = (points - middle).T, (targets - goal).T
        size = (x**2 + y**2).sum()
        a, b = float((x * u + y * v).sum() / size), float((x * v - y * u).sum() / size)
        right, down = goal - (a * middle[0] - b * middle[1], b * middle[0] + a * middle[1])
        return cls(a, b, float(right), float(down))

    @property
    def scale(self) -> float:
        """How many times longer distances become."""
        return math.hypot(self.a, self.b)

    def inverse(self) -> Similarity:
        """The way back."""
        size = self.a**2 + self.b**2
        a, b = self.a / size, -self.b / size
        return Similarity(a, b, b * self.down - a * self.right, -b * self.right - a * self.down)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where points come to lie."""
        return self.a * x - self.b * y + self.right, self.b * x + self.a * y + self.down


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an upright face lies in a frame.

    Attributes:
        upright: from pixels of the frame to those of the upright face.
        rows: of the frame that the upright face's square touches.
        columns: likewise.
    """

    upright: Similarity
    rows: slice
    columns: slice

    @classmethod
    def of(cls, landmarks: Landmarks, width: int, height: int) -> Placement | None:
        """The place of a face in a frame of this size; None if its square lies outside of it."""
        upright = Similarity.fit(landmarks, np.array(_TEMPLATE))
        edge = torch.tensor([-0.5, SIDE - 0.5], dtype=torch.float64)
        x, y = upright.inverse()(*torch.meshgrid(edge, edge, indexing="xy"))
        columns, rows = _covered(x, width), _covered(y, height)
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        return cls(upright, rows, columns)

    def seen(self, frame: Tensor) -> Tensor:
        """The face upright.

        Beyond the frame's edges it is mirrored. A face that is larger than 512 pixels is averaged, not skipped
        through, on its way down.

        Args:
            frame: RGB, shape (3, H, W), any float dtype, range 0..1.

        Returns:
            RGB, shape (3, 512, 512), float32, range 0..1, on the same device.
        """
        samples = min(max(1, round(1 / self.upright.scale)), _MOST_SAMPLES)
        steps = (torch.arange(SIDE * samples, device=frame.device) + 0.5) / samples - 0.5
        x, y = self.upright.inverse()(steps[None, :], steps[:, None])
        rows, columns = (slice(max(0, span.start - _TAPS), span.stop + _TAPS) for span in (self.rows, self.columns))
        part = frame[:, rows, columns].float()
        sampled = sample(part, x - columns.start, y - rows.start, "reflection")
        return functional.avg_pool2d(sampled, samples).clamp_(0, 1)


def sample(frame: Tensor, x: Tensor, y: Tensor, beyond: str) -> Tensor:
    """A frame's colors at points between its pixels, by bicubic interpolation.

    Args:
        frame: shape (C, H, W), float32.
        x: columns, shape (h, w), whole numbers being centers of pixels.
        y: rows, likewise.
        beyond: what lies outside of the frame: "reflection" or "border".

    Returns:
        Shape (C, h, w), float32.
    """
    height, width = frame.shape[-2:]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), -1)[None]
    return functional.grid_sample(frame[None], grid, "bicubic", beyond, align_corners=False)[0]


def _covered(corners: Tensor, length: int) -> slice:
    """The rows or columns between the corners of the upright face's square, as far as they exist."""
    first, last = math.floor(float(corners.min())), math.ceil(float(corners.max()))
    return slice(min(max(0, first), length), max(0, min(last + 1, length)))
