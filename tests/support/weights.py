"""Make published files of tiny networks, as checkpoints and as ncnn pairs, and fetch them."""

from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import requests
import torch
from torch import Tensor

from framepack.models.spec import ModelRow, Weights, WheelWeights

DOCUMENTED_SCALES: Final = {
    "RealESRGAN_x2plus": 2,
    "RealESRGAN_x4plus": 4,
    "RealESRNet_x4plus": 4,
    "RealESR-general-x4v3": 4,
    "RealESRGAN_x4plus_anime_6B": 4,
    "RealESR_AnimeVideo_v3": 4,
}
"""The upscale models of the API document, which must stay."""

_HALF = np.array([0x01306B47], "<u4").tobytes()
_SINGLE = np.array([0], "<u4").tobytes()


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        """Touch the file when unpickled."""
        return (Path.touch, (self.marker,))


def checkpoint(state: Mapping[str, Tensor], key: str | None = "params") -> bytes:
    """A ``.pth`` file's content, the state dict under ``key`` as in the published files."""
    buffer = io.BytesIO()
    torch.save(dict(state) if key is None else {key: dict(state)}, buffer)
    return buffer.getvalue()


def published(
    content: bytes, filename: str = "tiny.pth", url: str | None = None, wheel: WheelWeights | None = None
) -> Weights:
    """The row of a file with this content."""
    return Weights(filename, url, len(content), hashlib.sha256(content).hexdigest(), "MIT", wheel)


def upscaler_row(*weights: Weights, name: str = "tiny", scale: int = 4) -> ModelRow:
    """An upscaler's row with these files."""
    return ModelRow(name, "upscaler", "tiny", scale, weights, 1, "A tiny network")


def ncnn_pair(state: Mapping[str, Tensor], *, half: bool = True) -> tuple[bytes, bytes]:
    """The ``.param`` and ``.bin`` content of an RRDBNet's or SRVGGNetCompact's state dict."""
    layers, parts = [], []
    for name in dict.fromkeys(key.rpartition(".")[0] for key in state):
        weight = state[f"{name}.weight"].numpy()
        if weight.ndim == 1:
            layers.append(f"PReLU {name} 1 1 in out 0={weight.size}")
            parts.append(weight.astype("<f4").tobytes())
            continue
        shape = f"0={weight.shape[0]} 1=3 4=1 5=1 6={weight.size}"
        layers.append(f"Convolution {name} 1 1 in out {shape} 9=2 -23310=1,2.000000e-01")
        body = weight.astype("<f2" if half else "<f4").tobytes()
        parts += [_HALF if half else _SINGLE, body, bytes(-len(body) % 4)]
        parts.append(state[f"{name}.bias"].numpy().astype("<f4").tobytes())
    lines = ["7767517", f"{len(layers) + 1} {len(layers) + 1}", "Input data 0 1 data", *layers]
    return "\n".join(lines).encode() + b"\n", b"".join(parts)


def install_wheel(site: Path, package: str, pair: tuple[bytes, bytes]) -> WheelWeights:
    """Put a package with an ncnn pair into the folder ``site``; importing the package fails."""
    folder = site / package / "models"
    folder.mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "tiny.param").write_bytes(pair[0])
    (folder / "tiny.bin").write_bytes(pair[1])
    importlib.invalidate_caches()
    hashes = [hashlib.sha256(content).hexdigest() for content in pair]
    return WheelWeights(package, "models/tiny.param", hashes[0], "models/tiny.bin", hashes[1])


def fetch_plainly(url: str, to: Path, max_bytes: int) -> None:
    """Download with nothing but requests."""
    with requests.get(url, stream=True, timeout=30) as answer:
        answer.raise_for_status()
        with to.open("wb") as file:
            for chunk in answer.iter_content(1024):
                file.write(chunk)
                if file.tell() > max_bytes:
                    raise OSError("too much")


def fetch_never(url: str, to: Path, max_bytes: int) -> None:
    """Stand in for a network that must not be asked."""
    raise AssertionError(f"{url} was asked for")
