"""A user's own upscale models: checkpoints in the weights folder that are not in the catalog."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.errors import FramepackError, ModelUnavailable
from framepack.models.spec import ModelRow, Weights
from framepack.models.weights.checkpoints import parse_checkpoint, read_capped
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.models.weights.catalog import Catalog

_logger = logging.getLogger(__name__)

_SUFFIXES = {".pth", ".safetensors"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_Version = tuple[int, int, bool]  # size in bytes, modification time, whether another model has the same name


class CustomModels:
    """Finds the user's own models in the weights folder. Thread-safe; each version of a file is read once.

    The name of a model is its file name without the suffix. Its row contains the hash that the file had when it was
    read, so a file that is replaced later is never loaded under the old row.

    Args:
        folder: The weights folder, which need not exist.
        catalog: Its file names and model names are reserved.
    """

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder = folder
        self._catalog_files = {weights.filename for weights in catalog.weights()}
        self._catalog_names = {row.name for row in catalog.rows}
        self._described: dict[str, tuple[_Version, ModelRow | None]] = {}
        self._lock = threading.Lock()

    def rows(self) -> tuple[ModelRow, ...]:
        """Return the usable models, sorted by file name. Unusable files are skipped and logged once."""
        with self._lock:
            paths = self._candidates()
            self._described = {path.name: self._describe(path) for path in paths}
            return tuple(row for _, row in self._described.values() if row is not None)

    def _candidates(self) -> list[Path]:
        try:
            paths = sorted(self._folder.iterdir())
        except OSError:
            return []
        return [
            path
            for path in paths
            if path.suffix in _SUFFIXES and path.name not in self._catalog_files and not path.name.startswith(".")
        ]

    def _describe(self, path: Path) -> tuple[_Version, ModelRow | None]:
        version = self._version(path)
        known = self._described.get(path.name)
        if known is not None and known[0] == version:
            return known
        try:
            return version, self._row(path, version)
        except (FramepackError, OSError, MemoryError, RuntimeError) as error:  # the last two: out of memory
            _logger.warning("%s is skipped: %s", path.name, error)
            return version, None

    def _version(self, path: Path) -> _Version:
        is_duplicate = path.stem in self._catalog_names or (
            path.suffix == ".safetensors" and path.with_suffix(".pth").exists()
        )
        try:
            stat = path.stat()
        except OSError:
            return 0, 0, is_duplicate
        return stat.st_size, stat.st_mtime_ns, is_duplicate

    @staticmethod
    def _row(path: Path, version: _Version) -> ModelRow:
        from framepack.models.weights.networks import load_network

        if not _NAME.fullmatch(path.stem):
            raise ModelUnavailable("Its name contains characters other than letters, digits, dot, _, + and -.")
        if version[2]:
            raise ModelUnavailable("Another model has the same name.")
        content = read_capped(path)
        network = load_network(parse_checkpoint(content, path.name))
        parameters = sum(parameter.numel() for parameter in network.model.parameters())
        architecture = " ".join([network.architecture, *network.tags])
        return ModelRow(
            name=path.stem,
            group="upscaler",
            architecture=architecture,
            scale=network.scale,
            weights=(Weights(path.name, None, len(content), hashlib.sha256(content).hexdigest(), "unknown"),),
            memory_mb=-(-4 * parameters // MB),
            description=f"Custom {network.scale}x model ({architecture})",
        )
