"""Put restored faces back into their frame, so that no border shows.

What is pasted is the change: the restored face less the face as it was, brought back to the frame's own pixels
and added there. Where restoring changed nothing, the frame stays what it was, however the face is turned and
wherever it lies; detail of the frame that is finer than the 512 pixels of the restored face stays, too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

from framepack.models.faces.alignment import SIDE, Placement, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

# The mask is an oval around a face in the template's place, from ear to ear and from the brow to the chin: 1 inside,
# and 0 from so many times its size on, which is within the square. What lies around the face stays the upscaler's.
_MIDDLE: Final = (255.5, 272.0)
_OVAL: Final = (165.0, 190.0)
_NOTHING: Final = 1.25
_SPARE: Final = 1.5  # pixels that a shrunk change keeps for one of the frame


@torch.inference_mode()
def pasted(frame: Tensor, faces: Sequence[tuple[Placement, Tensor, float]]) -> Tensor:
    """A frame with restored faces in it; where two of them overlap, the later one lies on top.

    Args:
        frame: RGB, shape (3, H, W), any float dtype, range 0..1; left as it is.
        faces: where each lies, how restoring changed it (RGB differences, shape (3, 512, 512), float32), and how much
            of that is shown, 0 to 1.

    Returns:
        A new frame of the same shape and dtype.
    """
    result = frame.clone()
    for placement, change, strength in faces:
        rows, columns = placement.rows, placement.columns
        x = torch.arange(columns.start, columns.stop, device=frame.device, dtype=torch.float32)
        y = torch.arange(rows.start, rows.stop, device=frame.device, dtype=torch.float32)
        u, v = placement.upright(x[None, :], y[:, None])
        now = result[:, rows, columns].float()
        wanted = frame[:, rows, columns].float() + _seen(change, placement, u, v)
        now += strength * mask(u, v) * (wanted - now)
        result[:, rows, columns] = now.clamp_(0, 1)
    return result


def mask(u: Tensor, v: Tensor) -> Tensor:
    """How much of the restored face is shown at points of its square: 1 on the face, falling softly to 0."""
    radius = torch.hypot((u - _MIDDLE[0]) / _OVAL[0], (v - _MIDDLE[1]) / _OVAL[1])
    inside = ((_NOTHING - radius) / (_NOTHING - 1)).clamp_(0, 1)
    return inside * inside * (3 - 2 * inside)


def _seen(change: Tensor, placement: Placement, u: Tensor, v: Tensor) -> Tensor:
    """The change at points of its square; shrunk first if the frame has fewer pixels for it, against aliasing."""
    side = math.ceil(_SPARE * SIDE / placement.upright.scale)
    if side < SIDE:
        change = functional.interpolate(change[None], (side, side), mode="bicubic", antialias=True)[0]
        u, v = ((each + 0.5) * (side / SIDE) - 0.5 for each in (u, v))
    return sample(change, u, v, "border")
