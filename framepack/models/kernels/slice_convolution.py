"""A 3x3 convolution that reads some channels of a tensor and writes others, as a Triton kernel.

It is an implicit matrix multiplication: the rows are pixels, the columns are output channels, and the sum runs over
input channels and the nine taps of the kernel. Everything that follows the convolution is done before the result
leaves the registers.
"""

from __future__ import annotations

import triton
import triton.language as tl


# Height and width are not specialized: otherwise each combination of multiples of 16 would be compiled during a job.
@triton.jit(do_not_specialize=["height", "width"])  # type: ignore[untyped-decorator]
def convolve_slice(  # type: ignore[no-untyped-def]
    source,  # (N, H, W, source_stride): the first of the input channels of the first pixel
    weights,  # (9, inputs, OUTPUTS)
    bias,  # (OUTPUTS)
    addend,  # like target, or unused
    residual,  # like target, or unused
    target,  # (N, H, W, target_stride): the first of the output channels of the first pixel
    height,
    width,
    inputs,  # number of input channels, a multiple of CHANNELS
    source_stride,  # elements from one pixel to the next
    addend_stride,
    residual_stride,
    target_stride,
    active,  # number of the first output channels that are activated
    slope,  # of the activation for negative values
    scale,  # of the sum and its bias, before the addend is added
    residual_scale,  # of all that, before the residual is added
    OUTPUTS: tl.constexpr,  # number of output channels
    ROWS: tl.constexpr,  # of the tile of pixels that one program computes
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,  # input channels per step
    HAS_ADDEND: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
):
    """Compute a tile of pixels: ``((conv + bias) * scale + addend)``, activated, ``* residual_scale + residual``."""
    tiles_across = tl.cdiv(width, COLUMNS)
    tiles_down = tl.cdiv(height, ROWS)
    program = tl.program_id(0)
    left = program % tiles_across * COLUMNS
    top = program // tiles_across % tiles_down * ROWS
    frame = program // (tiles_across * tiles_down)
    pixel = tl.arange(0, ROWS * COLUMNS)
    row, column = top + pixel // COLUMNS, left + pixel % COLUMNS
    # The tile's first pixel needs 64 bits, as a tensor may have more than 2^31 elements. From there, 32 are enough.
    first = (frame.to(tl.int64) * height + top) * width + left
    within = pixel // COLUMNS * width + pixel % COLUMNS
    channel, output = tl.arange(0, CHANNELS), tl.arange(0, OUTPUTS)
    source_tile = source + first * source_stride + (within * source_stride)[:, None] + channel[None, :]
    weights_tile = weights + channel[:, None] * OUTPUTS + output[None, :]

    total = tl.zeros((ROWS * COLUMNS, OUTPUTS), tl.float32)
    # All taps of some channels come before the next channels, so that eight of nine reads find their values in the L1
    # cache (".ca"). One loop over both is what Triton's pipelining needs.
    for step in range(inputs // CHANNELS * 9):
        tap, start = step % 9, step // 9 * CHANNELS
        down, across = tap // 3 - 1, tap % 3 - 1
        shift = (down * width + across) * source_stride + start
        rows_inside = (row + down >= 0) & (row + down < height)
        columns_inside = (column + across >= 0) & (column + across < width)
        is_inside = (rows_inside & columns_inside)[:, None]
        values = tl.load(source_tile + shift, mask=is_inside, other=0.0, cache_modifier=".ca")
        kernel = tl.load(weights_tile + (tap * inputs + start) * OUTPUTS)
        total = tl.dot(values, kernel, total)

    result = (total + tl.load(bias + output)[None, :]) * scale
    is_frame = ((row < height) & (column < width))[:, None]
    if HAS_ADDEND:
        addend_tile = addend + first * addend_stride + (within * addend_stride)[:, None] + output[None, :]
        result += tl.load(addend_tile, mask=is_frame, other=0.0)
    result = tl.where((output[None, :] < active) & (result < 0), result * slope, result)
    if HAS_RESIDUAL:
        residual_tile = residual + first * residual_stride + (within * residual_stride)[:, None] + output[None, :]
        result = result * residual_scale + tl.load(residual_tile, mask=is_frame, other=0.0)
    target_tile = target + first * target_stride + (within * target_stride)[:, None] + output[None, :]
    tl.store(target_tile, result.to(target.dtype.element_ty), mask=is_frame)
