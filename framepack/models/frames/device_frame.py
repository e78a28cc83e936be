"""Frames in device memory, and their transfer: frames are copied as YUV and converted to RGB on the device."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from framepack.media.frames.arrays import frame_from_planes, planes_of
from framepack.models.frames.transfer import Download, upload_planes
from framepack.models.frames.yuv import rgb_from_yuv, yuv420_from_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence

    import av

    from framepack.media.clip import Colors, Frame


F = TypeVar("F", bound="Frame")


@dataclass(frozen=True, slots=True, eq=False)
class DeviceFrame:
    """A frame in device memory.

    Attributes:
        tensor: RGB, shape (3, H, W), float16, bfloat16 or float32; read-only. Its luma is within 0..1. Single
            components may be slightly outside, because YUV can store colors beyond the range of RGB.
        colors: Color space of its YUV samples on the host.
    """

    tensor: Tensor
    colors: Colors
    _download: list[Download] = field(default_factory=list, init=False, repr=False)
    _downloaded: list[av.VideoFrame] = field(default_factory=list, init=False, repr=False)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.tensor.shape[-1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.tensor.shape[-2])

    @property
    def size_bytes(self) -> int:
        """Size of its tensor if the device is the CPU, else of its copy on the host.

        Device memory is planned elsewhere.
        """
        if self.is_on_cpu:
            return self.tensor.nbytes
        return self.width * self.height * 3 // 2 if self._download or self._downloaded else 0

    @property
    def is_on_cpu(self) -> bool:
        """Whether the device is the CPU, so that no copy is needed."""
        return self.tensor.device.type == "cpu"

    def start_download(self) -> None:
        """Start converting and copying it to host memory, if it is on a GPU. At the first call only."""
        if not self.is_on_cpu and not self._download and not self._downloaded:
            self._download.append(self._converted())

    @torch.inference_mode()
    def on_host(self) -> av.VideoFrame:
        """Return the frame as 8-bit yuv420p; it is converted on the device and downloaded at the first call."""
        if not self._downloaded:
            download = self._download[0] if self._download else self._converted()
            y, u, v = (plane.numpy() for plane in download.wait())
            self._downloaded.append(frame_from_planes(y, u, v, self.colors))
            self._download.clear()  # only now, because another thread may start the download of a repeated frame
        return self._downloaded[0]

    @torch.inference_mode()
    def _converted(self) -> Download:
        luma, chroma = yuv420_from_rgb(self.tensor, self.colors)
        return Download([luma, *chroma])


@dataclass(frozen=True, slots=True, eq=False)
class UploadedPlanes:
    """Frames as YUV in device memory.

    Attributes:
        y: Luma, shape (N, H, W), uint8 or int32.
        uv: Chroma (Cb and Cr), shape (N, 2, h, w), likewise.
        depth: Bits per sample.
        halved: Whether chroma has half the (columns, rows), rounded up.
    """

    y: Tensor
    uv: Tensor
    depth: int
    halved: tuple[bool, bool]

    @classmethod
    def of(cls, frames: Sequence[Frame], device: torch.device) -> UploadedPlanes:
        """Upload frames of one size and format; nothing is waited for."""
        planes = [planes_of(frame.on_host()) for frame in frames]
        y = upload_planes([frame.y for frame in planes], device)
        uv = upload_planes([plane for frame in planes for plane in (frame.u, frame.v)], device)
        return cls(y, uv.view(len(planes), 2, *uv.shape[1:]), planes[0].depth, planes[0].halved)

    def to_rgb(self, colors: Colors, *, clip: bool = True) -> Tensor:
        """Convert them to RGB; see ``rgb_from_yuv``."""
        return rgb_from_yuv(self.y, self.uv, self.depth, self.halved, colors, clip=clip)


@torch.inference_mode()
def to_device(
    frames: Sequence[Frame], device: torch.device, dtype: torch.dtype, colors: Colors, *, clip: bool = True
) -> Tensor:
    """Upload frames to the device as one batch.

    Planar YUV is uploaded unchanged, at half the size of RGB, and converted on the device in single precision.

    Args:
        frames: At least one; all of one size.
        device: Target device.
        dtype: Precision of the result.
        colors: Color space of the YUV samples of frames in host memory.
        clip: Whether to clip RGB values to 0..1.

    Returns:
        RGB, shape (N, 3, H, W), range 0..1 if clipped, channels last.
    """
    batches: list[Tensor] = []
    for _, run in groupby(frames, key=_storage):
        members = list(run)
        if isinstance(members[0], DeviceFrame):
            tensors = [frame.tensor.to(device, dtype)[None] for frame in members if isinstance(frame, DeviceFrame)]
            batches += [tensor.clamp(0, 1) for tensor in tensors] if clip else tensors
        else:
            batches.append(UploadedPlanes.of(members, device).to_rgb(colors, clip=clip).to(dtype))
    batch = batches[0] if len(batches) == 1 else torch.cat(batches)
    return batch.contiguous(memory_format=torch.channels_last)


def _storage(frame: Frame) -> str:
    """Where and how a frame is stored; successive frames that are stored alike are converted together."""
    return "device" if isinstance(frame, DeviceFrame) else frame.on_host().format.name


@torch.inference_mode()
def scaled_on_device(frame: Frame, width: int, height: int) -> DeviceFrame | None:
    """Resize a frame in device memory, keeping its dtype and colors; None if it is in host memory."""
    if not isinstance(frame, DeviceFrame):
        return None
    rgb = resize(frame.tensor[None], width, height)[0]
    return DeviceFrame(rgb.to(frame.tensor.dtype), frame.colors)


def resize(batch: Tensor, width: int, height: int) -> Tensor:
    """Resize frames by bicubic interpolation, with antialiasing when they become smaller.

    Args:
        batch: Shape (N, 3, H, W), any float dtype, range 0..1.
        width: Width of the result.
        height: Height of the result.

    Returns:
        Shape (N, 3, height, width), float32, range 0..1.
    """
    resized = functional.interpolate(
        batch.to(torch.float32), (height, width), mode="bicubic", antialias=True, align_corners=False
    )
    return resized.clamp_(0, 1)
