"""A 3x3 convolution that reads some channels of a tensor and writes others, as a Triton kernel.

It is an implicit matrix multiplication: the rows are pixels, the columns are output channels, and the sum runs over
input channels and the nine taps of the kernel. Everything that follows the convolution is done before the result
leaves the registers.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def _sum_by_taps(  # type: ignore[no-untyped-def]
    source, weights, row, column, height, width, stride, inputs, OUTPUTS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Convolve a tile, reading a value for each tap that needs it.

    All taps of some channels come before the next channels, so that eight of nine reads find their values in the L1
    cache (".ca"). One loop over both is what Triton's pipelining needs.
    """
    total = tl.zeros((row.shape[0], OUTPUTS), tl.float32)
    for step in range(inputs // CHANNELS * 9):
        tap, start = step % 9, step // 9 * CHANNELS
        down, across = tap // 3 - 1, tap % 3 - 1
        rows_inside = (row + down >= 0) & (row + down < height)
        columns_inside = (column + across >= 0) & (column + across < width)
        is_inside = (rows_inside & columns_inside)[:, None]
        shifted = source + (down * width + across) * stride + start
        values = tl.load(shifted, mask=is_inside, other=0.0, cache_modifier=".ca")
        total = tl.dot(values, tl.load(weights + (tap * inputs + start) * OUTPUTS), total)
    return total


@triton.jit  # type: ignore[untyped-decorator]
def _sum_by_lines(  # type: ignore[no-untyped-def]
    source, weights, row, column, height, width, stride, inputs, OUTPUTS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Convolve a tile, reading a value once for the three taps of a line; its first and last column come out wrong.

    What a pixel adds to the results of its right and left neighbors is summed up apart, and handed over at the end.
    """
    total = tl.zeros((row.shape[0], OUTPUTS), tl.float32)
    to_right, to_left = total, total
    for step in range(inputs // CHANNELS * 3):
        line, start = step % 3, step // 3 * CHANNELS
        down = line - 1
        is_inside = ((row + down >= 0) & (row + down < height) & (column >= 0) & (column < width))[:, None]
        values = tl.load(source + down * width * stride + start, mask=is_inside, other=0.0)
        kernels = weights + (line * 3 * inputs + start) * OUTPUTS
        to_right = tl.dot(values, tl.load(kernels), to_right)
        total = tl.dot(values, tl.load(kernels + inputs * OUTPUTS), total)
        to_left = tl.dot(values, tl.load(kernels + 2 * inputs * OUTPUTS), to_left)
    pixel = tl.broadcast_to(tl.arange(0, row.shape[0])[:, None], (row.shape[0], OUTPUTS))
    total += tl.gather(to_right, tl.maximum(pixel - 1, 0), 0)
    total += tl.gather(to_left, tl.minimum(pixel + 1, row.shape[0] - 1), 0)
    return total


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
    SHARES_READS: tl.constexpr,  # whether a value that is read serves all three taps of its row
    HAS_ADDEND: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
):
    """Compute a tile of pixels: ``((conv + bias) * scale + addend)``, activated, ``* residual_scale + residual``."""
    margin: tl.constexpr = 1 if SHARES_READS else 0  # columns at each side of a tile that only its neighbors compute
    tiles_across = tl.cdiv(width, COLUMNS - 2 * margin)
    tiles_down = tl.cdiv(height, ROWS)
    program = tl.program_id(0)
    left = program % tiles_across * (COLUMNS - 2 * margin) - margin
    top = program // tiles_across % tiles_down * ROWS
    frame = program // (tiles_across * tiles_down)
    pixel = tl.arange(0, ROWS * COLUMNS)
    row, column = top + pixel // COLUMNS, left + pixel % COLUMNS
    # The tile's first pixel needs 64 bits, as a tensor may have more than 2^31 elements. From there, 32 are enough.
    first = (frame.to(tl.int64) * height + top) * width + left
    within = pixel // COLUMNS * width + pixel % COLUMNS
    channel, output = tl.arange(0, CHANNELS), tl.arange(0, OUTPUTS)
    source += first * source_stride + (within * source_stride)[:, None] + channel[None, :]
    weights += channel[:, None] * OUTPUTS + output[None, :]
    if SHARES_READS:
        total = _sum_by_lines(source, weights, row, column, height, width, source_stride, inputs, OUTPUTS, CHANNELS)
    else:
        total = _sum_by_taps(source, weights, row, column, height, width, source_stride, inputs, OUTPUTS, CHANNELS)

    result = (total + tl.load(bias + output)[None, :]) * scale
    is_own = (pixel % COLUMNS >= margin) & (pixel % COLUMNS < COLUMNS - margin)
    is_frame = (is_own & (row < height) & (column < width))[:, None]
    if HAS_ADDEND:
        addend += first * addend_stride + (within * addend_stride)[:, None] + output[None, :]
        result += tl.load(addend, mask=is_frame, other=0.0)
    result = tl.where((output[None, :] < active) & (result < 0), result * slope, result)
    if HAS_RESIDUAL:
        residual += first * residual_stride + (within * residual_stride)[:, None] + output[None, :]
        result = result * residual_scale + tl.load(residual, mask=is_frame, other=0.0)
    target += first * target_stride + (within * target_stride)[:, None] + output[None, :]
    tl.store(target, result.to(target.dtype.element_ty), mask=is_frame)
