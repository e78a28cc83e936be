"""The networks alone, beside what the device can do at most."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from benchmarks.gpu.measuring import Bench, counted, decibels

if TYPE_CHECKING:
    from framepack.models.upscale.upscaler import Upscaler

UPSCALERS: Final = ("RealESR_AnimeVideo_v3", "RealESRGAN_x4plus_anime_6B", "RealESRGAN_x4plus")
_UPSCALED: Final = ((1280, 720, 1), (640, 360, 1), (640, 360, 4), (1920, 1080, 1))
_INTERPOLATED: Final = ((1280, 720, 1), (1280, 720, 4), (1920, 1080, 1), (640, 360, 4))
_CALLS_TO_RECORD: Final = 6  # after which a size has its graph
_SLICES: Final = ((64, 64), (32, 32), (128, 64), (192, 64))
_CONVOLUTIONS: Final = ((64, 32), (160, 32), (192, 64), (64, 192), (64, 64))


def ceilings(bench: Bench) -> None:
    """How fast the device copies, and how fast it convolves in the shapes of ESRGAN's dense blocks."""
    source = torch.empty((1 << 30) if bench.device.is_cuda else (1 << 22), device=bench.place)
    target = torch.empty_like(source)
    milliseconds = bench.milliseconds(lambda: target.copy_(source))
    bench.add("copy", TB_per_second=round(2 * source.nbytes / milliseconds / 1e9, 3))
    width, height = bench.size(1280, 720)
    for inputs, outputs in _CONVOLUTIONS:
        shape = (1, inputs, height, width)
        image = torch.randn(shape, device=bench.place, dtype=bench.dtype).contiguous(
            memory_format=torch.channels_last
        )
        layer: Any = nn.Conv2d(inputs, outputs, 3, 1, 1).to(bench.place, bench.dtype)
        layer.to(memory_format=torch.channels_last)
        tflop = 18 * inputs * outputs * height * width / 1e12
        with torch.inference_mode():
            plain = bench.milliseconds(lambda: layer(image))  # noqa: B023 - called at once
            with bench.cudnn_benchmark():
                chosen = bench.milliseconds(lambda: layer(image))  # noqa: B023 - called at once
        bench.add(
            "convolutions",
            channels=f"{inputs} to {outputs}",
            TFLOP_per_second=round(tflop / plain * 1e3, 2),
            TFLOP_per_second_with_cudnn_benchmark=round(tflop / chosen * 1e3, 2),
        )


def kernels(bench: Bench) -> None:
    """How fast our own convolution is in the shapes of ESRGAN's fused trunk, by the way its work is divided."""
    from framepack.models.kernels.convolution import Epilogue, Kernel, convolve
    from framepack.models.upscale.fused import TILINGS

    if not bench.device.is_cuda:
        return
    width, height = bench.size(1280, 720)
    buffer = torch.rand(1, height, width, 192, device=bench.place, dtype=bench.dtype)
    target = torch.empty(1, height, width, 64, device=bench.place, dtype=bench.dtype)
    for tiling in TILINGS:
        for inputs, outputs in _SLICES:
            kernel = Kernel.pack(torch.randn(outputs, inputs, 3, 3, device=bench.place, dtype=bench.dtype), None)
            epilogue = Epilogue(active=32, slope=0.2, addend=target[..., :outputs] if outputs == inputs else None)

            def work(kernel: Kernel = kernel, inputs: int = inputs, epilogue: Epilogue = epilogue) -> None:
                result = target[..., : kernel.weights.shape[2]]
                convolve(buffer[..., :inputs], kernel, result, tiling, epilogue)  # noqa: B023 - called at once

            took = bench.milliseconds(work)
            tflop = 18 * inputs * outputs * height * width / 1e12
            bench.add(
                "kernels",
                channels=f"{inputs} to {outputs}",
                tiling=str(tiling),
                milliseconds=took,
                TFLOP_per_second=round(1e3 * tflop / took, 2),
            )


def upscalers(bench: Bench) -> None:
    """Frames per second, share of the measured ceilings, and memory beside its estimate; ESRGAN plain and fused."""
    from framepack.models.upscale.upscaler import Upscaler
    from tests.support.upscaling import real_network

    for name in UPSCALERS:
        plain = Upscaler(real_network(name, Path("none")), bench.device, use_fast_path=False)
        _upscaler(bench, name, plain, plain)
        network: Any = real_network(name, Path("none"))
        fused = Upscaler(network, bench.device)
        trunk = getattr(network.model, "fused_trunk", None)
        if trunk is not None:
            _upscaler(bench, name, fused, plain, str(trunk.tiling))


def _upscaler(bench: Bench, name: str, upscaler: Upscaler, plain: Upscaler, tiling: str = "") -> None:
    """Measure an upscaler at several sizes, and compare its images with those of the plain one."""
    for width, height, count in _UPSCALED if bench.device.is_cuda else _UPSCALED[1:2]:
        images = bench.images(count, width, height)

        def work(images: torch.Tensor = images) -> torch.Tensor:
            return upscaler.run(images, 0, lambda: None)

        peak = bench.peak_bytes(work)
        took = bench.milliseconds(work)
        with bench.cudnn_benchmark():
            chosen = bench.milliseconds(work)
        row = _row(bench, work, count, took)
        compared = {} if upscaler is plain else {"decibels": decibels(work(), plain.run(images, 0, lambda: None))}
        bench.add(
            "upscalers",
            network=name,
            path="plain" if upscaler is plain else "fused",
            size=f"{images.shape[-1]}x{images.shape[-2]}",
            batch=count,
            **row,
            milliseconds_with_cudnn_benchmark=chosen,
            peak_GB=round(peak / 1e9, 2),
            estimated_GB=round(count * upscaler.memory.bytes_of(images[0, 0].numel(), images.shape[-1]) / 1e9, 2),
            **compared,
            tiling=tiling,
        )


def interpolation(bench: Bench) -> None:
    """New frames per second of RIFE 4.25, kernel by kernel and by a CUDA graph, and whether both are the same."""
    from framepack.media.clip import Colors
    from framepack.models.frames.device_frame import DeviceFrame
    from framepack.models.interpolate.interpolator import EncodedPair, Interpolator
    from framepack.models.interpolate.rife import load_rife
    from tests.support.rife_reference import random_rife

    plain, graphed = (
        Interpolator(load_rife(random_rife(1, motion=0.5)), bench.device, use_fast_path=use) for use in (False, True)
    )
    for width, height, count in _INTERPOLATED if bench.device.is_cuda else _INTERPOLATED[-1:]:
        frames = [DeviceFrame(image, Colors()) for image in bench.images(2, width, height)]
        first, second = (plain.encode(frame, Colors()) for frame in frames)
        pairs = [EncodedPair(first, second, 0.5)] * count

        def work(model: Interpolator, pairs: list[EncodedPair] = pairs) -> torch.Tensor:
            return model.interpolate(pairs)

        row = {"size": f"{frames[0].width}x{frames[0].height}", "batch": count}
        took = bench.milliseconds(partial(work, plain))
        bench.add("interpolation", path="plain", **row, **_row(bench, partial(work, plain), count, took))
        before = 0 if graphed.graphs is None else len(graphed.graphs)
        for _ in range(_CALLS_TO_RECORD):
            result = work(graphed)
        if graphed.graphs is None or len(graphed.graphs) == before:
            continue  # the log says why
        took = bench.milliseconds(partial(work, graphed))
        graph = _row(bench, partial(work, plain), count, took)  # the kernels are those of the plain way
        bench.add("interpolation", path="CUDA graph", **row, **graph, decibels=decibels(result, work(plain)))


def faces(bench: Bench) -> None:
    """Faces per second of GFPGAN."""
    from framepack.models.faces.restorer import FaceRestorer, load_face_network
    from tests.support.faces import random_gfpgan

    network = random_gfpgan(narrow=1, styles=512) if bench.device.is_cuda else random_gfpgan()
    restorer = FaceRestorer(load_face_network(network), bench.device)
    for count in (1, 4, 8) if bench.device.is_cuda else (1,):
        images = torch.rand(count, 3, 512, 512, device=bench.place)

        def work(images: torch.Tensor = images) -> torch.Tensor:
            return restorer(images)

        bench.add("faces", batch=count, **_row(bench, work, count, bench.milliseconds(work)))


def profiles(bench: Bench) -> None:
    """Where the time of one frame goes, as text files."""
    from torch.profiler import ProfilerActivity, profile

    from framepack.media.clip import Colors
    from framepack.models.frames.device_frame import DeviceFrame
    from framepack.models.upscale.upscaler import Upscaler
    from tests.support.upscaling import real_network

    upscaler = Upscaler(real_network(UPSCALERS[-1], Path("none")), bench.device)
    images = bench.images(1, 1280, 720)
    output = bench.images(1, 5120, 2880)[0].to(bench.dtype)
    work: dict[str, Callable[[], Any]] = {
        "upscaling": lambda: upscaler.run(images, 0, lambda: None),
        "to_host": lambda: DeviceFrame(output, Colors()).on_host(),
    }
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.device.is_cuda else [])]
    for name, call in work.items():
        call()
        with profile(activities=kinds) as found:
            call()
            bench.synchronize()
        order = "cuda_time_total" if bench.device.is_cuda else "cpu_time_total"
        text = found.key_averages().table(sort_by=order, row_limit=20, max_name_column_width=60)
        (bench.folder / f"profile_{name}.txt").write_text(text)
        bench.add("profiles", work=name, operations=len(found.key_averages()))


def _row(bench: Bench, work: Callable[[], Any], count: int, milliseconds: float) -> dict[str, Any]:
    """What a call takes, beside the ceilings if those were measured."""
    gigabytes, tflop, kernels = counted(work)
    row: dict[str, Any] = {
        "milliseconds": milliseconds,
        "per_second": round(1e3 * count / milliseconds, 2),
        "TFLOP_per_second": round(1e3 * tflop / milliseconds, 2),
        "GB_moved": round(gigabytes, 2),
        "operations": kernels,
    }
    if "copy" in bench.rows and "convolutions" in bench.rows:
        fastest = max(each["TFLOP_per_second_with_cudnn_benchmark"] for each in bench.rows["convolutions"])
        row["share_of_arithmetic_limit"] = round(row["TFLOP_per_second"] / fastest, 2)
        moved = gigabytes / milliseconds  # TB per second
        row["share_of_memory_limit"] = round(moved / bench.rows["copy"][0]["TB_per_second"], 2)
    return row
