"""Paste restored faces back into a frame without visible borders.

Only the change is pasted: the difference between the restored and the original crop is resampled to the frame's
pixels and added to them. Where restoration changes nothing, the frame stays exactly as it was, whatever the rotation
and position of the face. Detail of the frame that is finer than the 512-pixel crop is kept as well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

from framepack.models.faces.alignment import FACE_SIZE, AlignedCrop, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

# The mask is an ellipse that covers an aligned face from ear to ear and from brow to chin. It is 1 inside and falls
# to 0 at _FADE_END times the radii, which is still within the crop. Outside of it the frame is not changed.
_CENTER: Final = (255.5, 272.0)
_RADII: Final = (165.0, 190.0)
_FADE_END: Final = 1.25
_OVERSAMPLING: Final = 1.5  # pixels of a shrunk change per pixel of the frame


@torch.inference_mode()
def paste_faces(frame: Tensor, faces: Sequence[tuple[AlignedCrop, Tensor, float]]) -> Tensor:
    """Return a frame with restored faces; where two of them overlap, the later one is on top.

    Args:
        frame: RGB, shape (3, H, W), any float dtype, range 0..1; not changed.
        faces: For each face its crop, the change (difference of RGB values, shape (3, 512, 512), float32), and the
            strength with which the change is applied, 0 to 1.

    Returns:
        A new frame of the same shape and dtype.
    """
    result = frame.clone()
    for crop, change, strength in faces:
        rows, columns = crop.rows, crop.columns
        x = torch.arange(columns.start, columns.stop, device=frame.device, dtype=torch.float32)
        y = torch.arange(rows.start, rows.stop, device=frame.device, dtype=torch.float32)
        u, v = crop.transform(x[None, :], y[:, None])
        # Blending toward the original frame plus the change, instead of adding the change to the result so far, keeps
        # the changes of overlapping faces from adding up.
        current = result[:, rows, columns].float()
        wanted = frame[:, rows, columns].float() + _resampled(change, crop, u, v)
        current += strength * face_mask(u, v) * (wanted - current)
        result[:, rows, columns] = current.clamp_(0, 1)
    return result


def face_mask(u: Tensor, v: Tensor) -> Tensor:
    """Return the mask at points of a crop: 1 on the face, falling smoothly to 0 around it."""
    radius = torch.hypot((u - _CENTER[0]) / _RADII[0], (v - _CENTER[1]) / _RADII[1])
    inside = ((_FADE_END - radius) / (_FADE_END - 1)).clamp_(0, 1)
    return inside * inside * (3 - 2 * inside)


def _resampled(change: Tensor, crop: AlignedCrop, u: Tensor, v: Tensor) -> Tensor:
    """Sample the change at points of the crop; for small faces it is shrunk first, against aliasing."""
    side = math.ceil(_OVERSAMPLING * FACE_SIZE / crop.transform.scale)
    if side < FACE_SIZE:
        change = functional.interpolate(change[None], (side, side), mode="bicubic", antialias=True)[0]
        u, v = ((each + 0.5) * (side / FACE_SIZE) - 0.5 for each in (u, v))
    return sample(change, u, v, "border")
