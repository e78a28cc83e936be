"""Scale frames that live on the device, without bringing them to the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from framepack.models.frames import DeviceFrame
from framepack.models.stream import resize

if TYPE_CHECKING:
    from framepack.media.clip import Frame


@torch.inference_mode()
def scaled_on_device(frame: Frame, width: int, height: int) -> DeviceFrame | None:
    """The frame in another size, of the same dtype and colours; None if it is not on the device."""
    if not isinstance(frame, DeviceFrame):
        return None
    picture = resize(frame.tensor[None], width, height)[0]
    return DeviceFrame(picture.to(frame.tensor.dtype), frame.colors)
