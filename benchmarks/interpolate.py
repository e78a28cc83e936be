"""Interpolation against the plain loop that RIFE is usually run in, side by side in one run, with the same weights.

The plain loop takes frame pairs one by one, in single precision on a CPU and half precision on a GPU: every frame
becomes RGB on the host, the features of both are computed for every new frame, every block sees both frames warped
at full size, and the result goes back as RGB. Ours takes the same decoded frames and gives frames for the encoder.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.interpolate [--weights flownet_v4.25.pkl]

It prints new frames per second of both (medians of rounds taken in turn), their ratio, and how close the results are.
Without the published weights it takes random ones of the same shape: the arithmetic is the same, the frame is not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av
    import torch
    from torch import Tensor

    from framepack.models.interpolate.interpolator import Interpolator

CASES = (("bikes", None, 2), ("bikes", None, 4), ("bigbuckbunny", (640, 360), 2), ("bigbuckbunny", None, 2))
FIRST = 40


class PlainLoop:
    """The network's modules, called the plain way."""

    def __init__(self, state: dict[str, Tensor], place: torch.device) -> None:
        import torch

        from framepack.models.interpolate.rife import Rife

        self.place = place
        self.dtype = torch.float16 if place.type == "cuda" else torch.float32
        self.network: Any = Rife()
        self.network.load_state_dict(state)
        self.network.to(place, self.dtype).eval()

    def __call__(self, frames: list[av.VideoFrame], factor: int) -> Iterator[av.VideoFrame]:
        """New frames between all pairs."""
        import av

        for first, second in pairwise(frames):
            pair = self.upload(first), self.upload(second)
            for step in range(1, factor):
                made = self.between(*pair, step / factor)[0, :, : first.height, : first.width]
                frame = made.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()
                yield av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p")

    def upload(self, frame: av.VideoFrame) -> Tensor:
        """A frame as the network takes it."""
        import torch
        from torch.nn import functional

        rgb = torch.from_numpy(frame.to_ndarray(format="rgb24")).to(self.place)
        image = rgb.permute(2, 0, 1)[None].to(self.dtype) / 255
        return functional.pad(image, (0, -frame.width % 64, 0, -frame.height % 64), "replicate")

    def between(self, first: Tensor, second: Tensor, fraction: float) -> Tensor:
        """One frame."""
        import torch

        network = self.network
        with torch.inference_mode():
            both = [first, second, network.encode(first), network.encode(second)]
            moment = torch.full_like(first[:, :1], fraction)
            made = self.refine(network.block0, [*both, moment], None)
            flow = made[:, :4]
            for block in (network.block1, network.block2, network.block3, network.block4):
                made = self.refine(block, [*self.warp_all(both, flow), moment, made[:, 4:]], flow)
                flow = flow + made[:, :4]
            warped = self.warp_all(both[:2], flow)
            share = torch.sigmoid(made[:, 4:5])
            return warped[0] * share + warped[1] * (1 - share)

    def refine(self, block: Any, parts: list[Tensor], flow: Tensor | None) -> Tensor:
        """One block, from full size to full size."""
        import torch
        from torch.nn import functional

        def resized(x: Tensor, factor: float) -> Tensor:
            return x if factor == 1 else functional.interpolate(x, scale_factor=factor, mode="bilinear")

        seen = resized(torch.cat(parts, 1), 1 / block.scale)
        if flow is not None:
            seen = torch.cat((seen, resized(flow, 1 / block.scale) / block.scale), 1)
        made = resized(block.lastconv(block.convblock(block.conv0(seen))), float(block.scale))
        return torch.cat((made[:, :4] * block.scale, made[:, 4:]), 1)

    def warp_all(self, frames: list[Tensor], flow: Tensor) -> list[Tensor]:
        """Whole frames along the flow: the first, third, ... along its first half."""
        import torch
        from torch.nn import functional

        height, width = flow.shape[2:]
        x = torch.linspace(-1, 1, width, device=self.place).expand(1, 1, height, -1)
        y = torch.linspace(-1, 1, height, device=self.place)[:, None].expand(1, 1, -1, width)
        warped = []
        for index, frame in enumerate(frames):
            side = flow[:, :2] if index % 2 == 0 else flow[:, 2:]
            moved = torch.cat((x + side[:, :1] * 2 / (width - 1), y + side[:, 1:] * 2 / (height - 1)), 1)
            where = moved.permute(0, 2, 3, 1).to(self.dtype)
            warped.append(functional.grid_sample(frame, where, padding_mode="border", align_corners=True))
        return warped


def decoded(clip: str, size: tuple[int, int] | None, count: int) -> list[av.VideoFrame]:
    """Frames of a real clip, from the middle of a scene."""
    import av

    from tests.support.clips import real_clip

    with av.open(str(real_clip(clip))) as container:
        frames = [frame for index, frame in zip(range(FIRST + count), container.decode(video=0), strict=False)]
    return [frame.reformat(*size) if size else frame for frame in frames[FIRST:]]


def ours(frames: list[av.VideoFrame], interpolator: Interpolator, factor: int) -> list[av.VideoFrame]:
    """New frames between all pairs, ready for the encoder."""
    from framepack.media.clip import HostFrame
    from framepack.media.frames.colors import resolve
    from framepack.media.timeline.retiming import Retiming
    from framepack.models.frames.device_frame import DeviceFrame
    from framepack.models.interpolate.interpolate_frames import interpolate_frames

    colors = resolve(frames[0], frames[0].format)
    source = map(HostFrame, frames)
    made = interpolate_frames(source, interpolator, Retiming(factor), colors=colors, check=lambda: None)
    return [frame.on_host() for frame in made if isinstance(frame, DeviceFrame)]


def psnr(one: list[av.VideoFrame], other: list[av.VideoFrame]) -> float:
    """Closeness of brightness, in dB."""
    import numpy as np

    first, second = (
        np.stack([frame.to_ndarray(format="gray") for frame in frames]).astype(float) for frames in (one, other)
    )
    return float(10 * np.log10(255**2 / np.square(first - second).mean()))


def weights(path: Path | None) -> dict[str, Tensor]:
    """The published weights, or random ones of moderate motion."""
    import torch

    from tests.support.rife_reference import random_rife

    if path is None:
        return random_rife(motion=0.5)
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    plain = {key.removeprefix("module."): value for key, value in loaded.items()}
    return {key: value for key, value in plain.items() if not key.startswith(("teacher.", "caltime."))}


def measured(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds taken, and the result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def main() -> None:
    """Measure every case and print a line for each."""
    import torch

    from framepack.models.interpolate.interpolator import Interpolator
    from framepack.models.interpolate.rife import load_rife
    from framepack.models.memory.device import Device

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the published flownet_v4.25.pkl")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--frames", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    state, device = weights(options.weights), Device.find(options.device)
    interpolator, plain = Interpolator(load_rife(state), device), PlainLoop(state, device.torch_device)
    for clip, size, factor in CASES:
        frames = decoded(clip, size, options.frames)
        rounds = [  # in turn, so that a machine that slows down slows both
            (measured(lambda: ours(frames, interpolator, factor)), measured(lambda: list(plain(frames, factor))))  # noqa: B023 - called at once
            for _ in range(options.rounds + 1)
        ]
        new = (options.frames - 1) * (factor - 1)
        rates = [new / statistics.median(each[side][0] for each in rounds[1:]) for side in (0, 1)]
        row = {
            "clip": f"{clip}, {frames[0].width}x{frames[0].height}, {factor}x",
            "ours_new_frames_per_second": round(rates[0], 2),
            "plain_new_frames_per_second": round(rates[1], 2),
            "ratio": round(rates[0] / rates[1], 2),
            "luma_psnr_between_outputs": round(psnr(rounds[0][0][1], rounds[0][1][1]), 1),
        }
        print(json.dumps(row), flush=True)
    where = f"{device.torch_device}, {torch.get_num_threads()} threads"
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, {where}; medians of {options.rounds} rounds")


if __name__ == "__main__":
    main()
