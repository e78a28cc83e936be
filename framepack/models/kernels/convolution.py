"""The convolution of `slice_convolution` as a PyTorch operation, so that fake tensors and counters know it.

Tensors are channels-last here: (N, H, W, C), with any distance from one pixel to the next, so that a range of the
channels of a larger tensor is one as well.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Any, Final

import torch
from torch import Tensor

_TAPS: Final = 9  # of a 3x3 kernel
_MULTIPLE: Final = 16  # of channels, and of the elements from one pixel to the next: reads of 16 bytes and more
_MAX_OFFSET: Final = 2**31 - 1  # inside a tile, where the kernel computes with 32 bits


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the work is divided; all of it changes only the speed.

    Attributes:
        rows: Height of the tile of pixels that one program computes, a power of two.
        columns: Width of that tile, likewise.
        channels: Number of input channels per step, at most; a power of two.
        warps: Number of warps that compute a tile.
        stages: Number of steps whose data is in flight.
        shares_reads: Whether a value is read once for the three taps of its row. Then two of the columns are computed
            for the neighboring tiles as well.
    """

    rows: int
    columns: int
    channels: int
    warps: int
    stages: int
    shares_reads: bool = False

    @property
    def own_columns(self) -> int:
        """The columns of a tile that no other tile computes."""
        return self.columns - 2 if self.shares_reads else self.columns

    def __str__(self) -> str:
        """Such as "8x16 pixels, 64 channels, 4 warps, 3 stages"."""
        parts = (
            f"{self.rows}x{self.columns} pixels, {self.channels} channels, {self.warps} warps, {self.stages} stages"
        )
        return f"{parts}, shared reads" if self.shares_reads else parts


@dataclass(frozen=True, slots=True)
class Kernel:
    """The weights of a 3x3 convolution in the layout that the operation takes.

    Attributes:
        weights: Shape (9, inputs, outputs).
        bias: Shape (outputs,), in single precision.
    """

    weights: Tensor
    bias: Tensor

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None) -> Kernel:
        """Convert a weight of shape (outputs, inputs, 3, 3) and its bias; None: zeros."""
        outputs, inputs = weight.shape[:2]
        bias = weight.new_zeros(outputs) if bias is None else bias
        packed = weight.detach().permute(2, 3, 1, 0).reshape(_TAPS, inputs, outputs).contiguous()
        return cls(packed, bias.detach().float().contiguous())


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What follows the convolution: ``((conv + bias) * scale + addend)``, activated, ``* residual_scale + residual``.

    Attributes:
        active: Number of the first output channels that are activated by LeakyReLU.
        slope: Of the activation for negative values.
        scale: Of the convolution and its bias.
        addend: Shape (N, H, W, outputs); may be the target itself. None: nothing is added.
        residual_scale: Of all before the residual; only with one.
        residual: Like ``addend``.
    """

    active: int = 0
    slope: float = 0.0
    scale: float = 1.0
    addend: Tensor | None = None
    residual_scale: float = 1.0
    residual: Tensor | None = None


def convolve(source: Tensor, kernel: Kernel, target: Tensor, tiling: Tiling, epilogue: Epilogue) -> None:
    """Convolve with zeros beyond the borders, and write the result into ``target``.

    Args:
        source: Shape (N, H, W, inputs).
        kernel: Its inputs are those of ``source``, its outputs those of ``target``.
        target: Shape (N, H, W, outputs), of the type of ``source``; must not share elements with it.
        tiling: How to divide the work.
        epilogue: What follows.

    Raises:
        ValueError: Shapes or strides do not fit together.
    """
    torch.ops.framepack.convolve_slice(
        source,
        kernel.weights,
        kernel.bias,
        epilogue.addend,
        epilogue.residual,
        target,
        [epilogue.active, *astuple(tiling)],
        [epilogue.slope, epilogue.scale, epilogue.residual_scale],
    )


def _checked_strides(
    source: Tensor, weights: Tensor, bias: Tensor, addend: Tensor | None, residual: Tensor | None, target: Tensor
) -> list[int]:
    """Return the elements from one pixel to the next of the source, the addend, the residual and the target.

    Raises:
        ValueError: The kernel would read or write what does not belong to these tensors.
    """
    taps, inputs, outputs = weights.shape
    if (*source.shape[:3], taps, source.shape[3]) != (*target.shape[:3], _TAPS, inputs):
        raise ValueError(f"A kernel {tuple(weights.shape)} cannot take {tuple(source.shape)}.")
    if (target.shape[3], *bias.shape) != (outputs, outputs) or inputs % _MULTIPLE or not weights.is_contiguous():
        raise ValueError(f"A kernel {tuple(weights.shape)} cannot make {tuple(target.shape)}.")
    if any(tensor is not None and tensor.shape != target.shape for tensor in (addend, residual)):
        raise ValueError("What is added has another shape than the result.")
    strides = [_pixel_stride(target if tensor is None else tensor) for tensor in (source, addend, residual, target)]
    if any(stride % _MULTIPLE for stride in strides):
        raise ValueError(f"Pixels that are {strides} elements apart are not aligned.")
    return strides


def _pixel_stride(tensor: Tensor) -> int:
    """Return the elements from one pixel to the next, which must be the same everywhere.

    Raises:
        ValueError: It is not, or channels are not next to each other.
    """
    frames, height, width, channels = tensor.shape
    frame, row, pixel, channel = tensor.stride()  # meaningless where there is only one
    stride = pixel if width > 1 else row if height > 1 else frame if frames > 1 else channels
    if channel != 1 or (height > 1 and row != width * stride) or (frames > 1 and frame != height * width * stride):
        raise ValueError(f"Strides {tensor.stride()} of {tuple(tensor.shape)} are not those of channels-last.")
    return stride


def _launch(  # noqa: PLR0913, PLR0917 - what the operation takes
    source: Tensor,
    weights: Tensor,
    bias: Tensor,
    addend: Tensor | None,
    residual: Tensor | None,
    target: Tensor,
    sizes: list[int],
    factors: list[float],
) -> None:
    from framepack.models.kernels.slice_convolution import convolve_slice

    strides = _checked_strides(source, weights, bias, addend, residual, target)
    active, rows, columns, channels, warps, stages, shares_reads = sizes
    tiling = Tiling(rows, columns, channels, warps, stages, bool(shares_reads))
    frames, height, width, inputs = source.shape
    if tiling.rows * width * max(strides) > _MAX_OFFSET:
        raise ValueError(f"Frames of {width} columns are too wide.")
    programs = frames * math.ceil(height / tiling.rows) * math.ceil(width / tiling.own_columns)
    with torch.cuda.device_of(source):  # type: ignore[no-untyped-call]
        convolve_slice[(programs,)](
            source,
            weights,
            bias,
            target if addend is None else addend,
            target if residual is None else residual,
            target,
            height,
            width,
            inputs,
            *strides,
            active,
            *factors,
            OUTPUTS=weights.shape[2],
            ROWS=tiling.rows,
            COLUMNS=tiling.columns,
            CHANNELS=math.gcd(tiling.channels, inputs),
            SHARES_READS=tiling.shares_reads,
            HAS_ADDEND=addend is not None,
            HAS_RESIDUAL=residual is not None,
            num_warps=tiling.warps,
            num_stages=tiling.stages,
            enable_fp_fusion=True,
        )


def _launch_nothing(
    source: Tensor,
    weights: Tensor,
    bias: Tensor,
    addend: Tensor | None,
    residual: Tensor | None,
    target: Tensor,
    _sizes: list[int],
    _factors: list[float],
) -> None:
    _checked_strides(source, weights, bias, addend, residual, target)


_library: Any = torch.library.Library("framepack", "DEF")  # type: ignore[no-untyped-call]
_library.define(
    "convolve_slice(Tensor source, Tensor weights, Tensor bias, Tensor? addend, Tensor? residual, Tensor(a!) target, "
    "int[] sizes, float[] factors) -> ()"
)
_library.impl("convolve_slice", _launch, "CompositeExplicitAutograd")
_library.impl("convolve_slice", _launch_nothing, "Meta")
