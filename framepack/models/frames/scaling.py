"""Scale frames that live on the device, without bringing them to the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from framepack.models.frames.device_frame import DeviceFrame

if TYPE_CHECKING:
    from framepack.media.clip import Frame


@torch.inference_mode()
def scaled_on_device(frame: Frame, width: int, height: int) -> DeviceFrame | None:
    """The frame in another size, of the same dtype and colors; None if it is not on the device."""
    if not isinstance(frame, DeviceFrame):
        return None
    image = resize(frame.tensor[None], width, height)[0]
    return DeviceFrame(image.to(frame.tensor.dtype), frame.colors)


def resize(batch: Tensor, width: int, height: int) -> Tensor:
    """Resize frames by bicubic interpolation, without aliasing when they become smaller.

    Args:
        batch: shape (N, 3, H, W), any float dtype, range 0..1.
        width: columns of the result.
        height: rows of the result.

    Returns:
        Shape (N, 3, height, width), float32, range 0..1.
    """
    resized = functional.interpolate(
        batch.to(torch.float32), (height, width), mode="bicubic", antialias=True, align_corners=False
    )
    return resized.clamp_(0, 1)
