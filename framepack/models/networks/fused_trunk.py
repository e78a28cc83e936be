"""The trunk of ESRGAN without concatenation, for GPUs: the same numbers with a third of the memory traffic.

The plain trunk copies all features of a dense block for each of its convolutions, and reads and writes everything
once more for each activation and sum. Here a dense block has one buffer of 192 channels: 64 that it is given and four
times 32 that it computes. A convolution reads the first of them and writes the next ones, already activated; the last
one adds the residuals and writes into the first channels of the next block's buffer.

Layers with 32 outputs occupy a GPU badly: each value that is read takes part in only 32 products. Therefore the
convolutions are computed in pairs. The first of a pair computes, beside its own 32 channels, what its inputs add to
the 32 channels of the second. These partial sums wait where the result belongs. The second then only has to add what
the 32 channels between them contribute. So 92 % of the arithmetic is in layers with 64 outputs, instead of 46 %, and
its amount is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from framepack.models.kernels.convolution import Epilogue, Kernel, Tiling, convolve

FEATURES: Final = 64
GROWTH: Final = 32
_CHANNELS: Final = FEATURES + 4 * GROWTH  # of a block's buffer
_BUFFERS: Final = 3  # of the dense blocks of a residual block


class Buffers(nn.Module):
    """Allocates the buffers of a residual block; a module, so that its memory can be measured."""

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Return uninitialized memory: three times (N, H, W, 192) for features of shape (N, H, W, 64)."""
        return tuple(features.new_empty((*features.shape[:3], _CHANNELS)) for _ in range(_BUFFERS))


@dataclass(frozen=True, slots=True)
class DenseKernels:
    """The weights of a dense block.

    Attributes:
        first_pair: From 64 channels to the first 32 and the partial sums of the next.
        second: From the first 32 to the next.
        second_pair: From 128 channels to the third 32 and the partial sums of the last.
        fourth: From the third 32 to the last.
        last: From all 192 channels to the block's 64.
    """

    first_pair: Kernel
    second: Kernel
    second_pair: Kernel
    fourth: Kernel
    last: Kernel

    @classmethod
    def pack(cls, layers: Sequence[nn.Conv2d]) -> DenseKernels:
        """Convert the five convolutions of a dense block."""
        one, two, three, four, five = layers
        return cls(
            *_pack_pair(one, two),
            *_pack_pair(three, four),
            Kernel.pack(five.weight, five.bias),
        )


def _pack_pair(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Kernel, Kernel]:
    """Split the second of two convolutions by the inputs that it shares with the first, and those that it makes."""
    shared = first.in_channels
    weight = torch.cat((first.weight, second.weight[:, :shared]))
    bias = torch.cat((_bias(first), torch.zeros_like(_bias(second))))
    return Kernel.pack(weight, bias), Kernel.pack(second.weight[:, shared:], second.bias)


def _bias(layer: nn.Conv2d) -> Tensor:
    return layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias


class FusedTrunk(nn.Module):
    """Computes ``features + conv_body(body(features))``.

    Attributes:
        tiling: How the work of each convolution is divided.

    Args:
        blocks: For each residual block, the five convolutions of each of its three dense blocks.
        conv_body: The trunk's last convolution.
        slope: Of the activation for negative values.
        residual_scale: Of each block's correction.
        tiling: How to divide the work.
    """

    def __init__(
        self,
        blocks: Iterable[Sequence[Sequence[nn.Conv2d]]],
        conv_body: nn.Conv2d,
        *,
        slope: float,
        residual_scale: float,
        tiling: Tiling,
    ) -> None:
        super().__init__()
        self.buffers_of_block = Buffers()
        self.tiling = tiling
        self._blocks = [[DenseKernels.pack(layers) for layers in dense_blocks] for dense_blocks in blocks]
        self._conv_body = Kernel.pack(conv_body.weight, conv_body.bias)
        self._slope = slope
        self._residual_scale = residual_scale

    def forward(self, features: Tensor, blocks: int | None = None) -> Tensor:
        """Return the features with the trunk's correction added.

        Args:
            features: Shape (N, 64, H, W).
            blocks: Compute only so many residual blocks; None: all.
        """
        features = features.permute(0, 2, 3, 1).contiguous()  # nothing is copied if they are channels-last
        first, second, third = self.buffers_of_block(features)
        start = first[..., :FEATURES]
        start.copy_(features)
        for dense_blocks in self._blocks[:blocks]:
            one, two, three = dense_blocks
            self._dense_block(one, first, second[..., :FEATURES])
            self._dense_block(two, second, third[..., :FEATURES])
            # The residual block's own input is still in the first buffer, and is replaced pixel by pixel.
            self._dense_block(three, third, start, residual=start)
        result = torch.empty_like(features)
        convolve(start, self._conv_body, result, self.tiling, Epilogue(addend=features))
        return result.permute(0, 3, 1, 2)

    def _dense_block(
        self, kernels: DenseKernels, buffer: Tensor, target: Tensor, residual: Tensor | None = None
    ) -> None:
        """Compute a dense block: the first 64 channels of its buffer (N, H, W, 192) to the target (N, H, W, 64)."""
        for start, pair, second in (
            (FEATURES, kernels.first_pair, kernels.second),
            (FEATURES + 2 * GROWTH, kernels.second_pair, kernels.fourth),
        ):
            middle, end = start + GROWTH, start + 2 * GROWTH
            active = Epilogue(active=GROWTH, slope=self._slope)  # the partial sums are not activated yet
            convolve(buffer[..., :start], pair, buffer[..., start:end], self.tiling, active)
            sums = buffer[..., middle:end]
            complete = Epilogue(active=GROWTH, slope=self._slope, addend=sums)
            convolve(buffer[..., start:middle], second, sums, self.tiling, complete)
        last = Epilogue(
            scale=self._residual_scale,
            addend=buffer[..., :FEATURES],
            residual_scale=self._residual_scale,
            residual=residual,
        )
        convolve(buffer, kernels.last, target, self.tiling, last)
