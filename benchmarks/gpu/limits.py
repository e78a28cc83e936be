"""What happens at the limits of a device: the words for "out of memory", and tensors of more than 2^31 values."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from benchmarks.gpu.measuring import Bench, decibels

_NETWORK: Final = "RealESRGAN_x4plus_anime_6B"
_ALLOWED_GB: Final = (0.7, 1.2, 1.7, 2.2, 2.7, 3.2, 3.7)
_TILE: Final = 1024
_SIZE: Final = (2560, 1440)


def out_of_memory(bench: Bench) -> None:
    """Which errors come when a frame does not fit, and whether each is understood. Nothing on a CPU."""
    from framepack.models.memory.device import is_out_of_memory
    from framepack.models.upscale.upscaler import Upscaler
    from tests.support.upscaling import real_network

    if not bench.device.is_cuda:
        return
    upscaler = Upscaler(real_network(_NETWORK, Path("none")), bench.device)
    images = bench.images(1, 1280, 720)
    total_bytes = torch.cuda.get_device_properties(bench.place).total_memory
    for allowed_gb in _ALLOWED_GB:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(allowed_gb * 1e9 / total_bytes)
        try:
            upscaler.run(images, 0, lambda: None)
        except Exception as error:  # noqa: BLE001 - whatever comes is what is to be shown
            is_understood = is_out_of_memory(error)
            row = {"error": type(error).__name__, "message": str(error)[:100], "is_understood": is_understood}
        else:
            row = {"error": "none, it fits"}
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        bench.add("out_of_memory", allowed_GB=allowed_gb, **row)


def large_tensors(bench: Bench) -> None:
    """A frame whose widest layer has 3.8e9 values, whole and in tiles: are they the same image?"""
    from framepack.models.upscale.upscaler import Upscaler
    from tests.support.upscaling import real_network

    upscaler = Upscaler(real_network(_NETWORK, Path("none")), bench.device)
    images = bench.images(1, *(_SIZE if bench.device.is_cuda else (512, 288)))
    (tile,) = bench.size(_TILE if bench.device.is_cuda else 256)
    tiled = upscaler.run(images, tile, lambda: None)
    whole = upscaler.run(images, 0, lambda: None)
    bench.add(
        "large_tensors",
        size=f"{images.shape[-1]}x{images.shape[-2]}",
        decibels_between_whole_and_tiles=decibels(whole, tiled),
        milliseconds_whole=bench.milliseconds(lambda: upscaler.run(images, 0, lambda: None)),
        milliseconds_in_tiles=bench.milliseconds(lambda: upscaler.run(images, tile, lambda: None)),
    )
