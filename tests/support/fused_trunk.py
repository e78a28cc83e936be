"""Runs the kernels of ESRGAN's trunk in Triton's interpreter, and prints how far they are from the plain network.

    TRITON_INTERPRET=1 python -m tests.support.fused_trunk networks|convolutions

Kernels are compiled or interpreted as the variable says when Triton is imported, so this is a process of its own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack.models.kernels.convolution import Epilogue, Kernel, Tiling, convolve
from framepack.models.weights.networks import load_network
from tests.support.networks import tiny_rrdb

NETWORKS = {  # the interpreter takes 6 ms for a step of a small tile, of which a residual block has 220
    "x4plus": ({"scale": 4, "blocks": 2}, (1, 3, 5, 7)),
    "x2plus": ({"scale": 2, "blocks": 1}, (2, 3, 8, 12)),
    "anime_6B": ({"scale": 4, "blocks": 1}, (1, 3, 13, 19)),
}
TILE = Tiling(8, 32, 64, 4, 3)
TILES = (Tiling(4, 8, 64, 4, 3), Tiling(4, 8, 64, 8, 2, shares_reads=True), Tiling(16, 16, 32, 4, 2))
SIZES = ((1, 1, 1), (2, 7, 11), (1, 9, 4), (1, 1, 5), (3, 2, 1))
EPILOGUES = ("activated", "sums", "residuals")
GUARD = 64
"""Pixels before and after a tensor that hold NaN: a value that is read there shows, and one that is written, too."""


def network_errors() -> dict[str, float]:
    """The largest difference between the outputs, relative to the largest output, for each network."""
    errors = {}
    for name, (shape, size) in NETWORKS.items():
        model: Any = load_network(tiny_rrdb(feat=64, **shape)).model
        frames = torch.rand(size, generator=torch.Generator().manual_seed(1))
        plain = model(frames)
        model.fused_trunk = model.fuse_trunk(TILE)
        errors[name] = relative_error(model(frames), plain)
    return errors


def convolution_errors() -> dict[str, float]:
    """The same for single convolutions of a slice into another one of the same buffer, with NaN all around."""
    cases = [
        *((tiling, size, EPILOGUES[0]) for tiling in TILES[:2] for size in SIZES),
        *((tiling, SIZES[1], epilogue) for tiling in TILES[1:] for epilogue in EPILOGUES[1:]),
    ]
    return {f"{tiling}, {size}, {name}": convolution_error(tiling, size, name) for tiling, size, name in cases}


def convolution_error(tiling: Tiling, size: tuple[int, int, int], epilogue: str) -> float:
    """Convolve channels 64 to 128 of a buffer of 192 into 128 to 160."""
    random = torch.Generator().manual_seed(2)
    pixels = size[0] * size[1] * size[2]
    memory = torch.full((pixels + 2 * GUARD, 192), torch.nan)
    buffer = memory[GUARD : GUARD + pixels].view(*size, 192)
    source, target = buffer[..., 64:128], buffer[..., 128:160]
    source.copy_(torch.randn(source.shape, generator=random))
    layer = nn.Conv2d(64, 32, 3, 1, 1)
    nn.init.normal_(layer.weight, std=0.05, generator=random)
    nn.init.normal_(layer.bias, generator=random)  # type: ignore[arg-type]
    addend, residual = (torch.randn(target.shape, generator=random) for _ in range(2))
    expected = layer(source.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    if epilogue == "activated":  # the first half only
        convolve(source, Kernel.pack(layer.weight, layer.bias), target, tiling, Epilogue(active=16, slope=0.2))
        expected[..., :16] = functional.leaky_relu(expected[..., :16], 0.2)
    elif epilogue == "sums":  # the addend is where the result belongs
        target.copy_(addend)
        after = Epilogue(active=32, slope=0.2, addend=target)
        convolve(source, Kernel.pack(layer.weight, layer.bias), target, tiling, after)
        expected = functional.leaky_relu(expected + addend, 0.2)
    else:
        after = Epilogue(scale=0.2, addend=addend, residual_scale=0.3, residual=residual)
        convolve(source, Kernel.pack(layer.weight, layer.bias), target, tiling, after)
        expected = (expected * 0.2 + addend) * 0.3 + residual
    untouched = memory.clone()
    untouched[GUARD : GUARD + pixels, 64:160] = torch.nan
    assert untouched.isnan().all(), "something else was written"
    return relative_error(target, expected)


def relative_error(made: Tensor, expected: Tensor) -> float:
    """Infinite if there is a NaN."""
    difference = (made - expected).abs().nan_to_num(nan=torch.inf).max()
    return float(difference / expected.abs().max())


if __name__ == "__main__":
    with torch.inference_mode():
        errors = {"networks": network_errors, "convolutions": convolution_errors}[sys.argv[1]]()
    sys.stdout.write(json.dumps(errors))
