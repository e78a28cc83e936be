"""A user's own upscale models: checkpoints in the weights folder that are not of the catalog."""

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

if TYPE_CHECKING:
    from framepack.models.weights.catalog import Catalog

_logger = logging.getLogger(__name__)

_SUFFIXES = {".pth", ".safetensors"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_Version = tuple[int, int, bool]  # size in bytes, time of last change, whether another model has its name


class CustomModels:
    """Describes what a user has put into the weights folder, each version of a file once; safe from any thread.

    A model is called like its file without the suffix. Its row carries the hash that the file had when it was
    described, so what is loaded later is what was described.

    Args:
        folder: the weights folder; it need not exist.
        catalog: its files and names are not for users.
    """

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder = folder
        self._known = {weights.filename for weights in catalog.weights()}
        self._taken = {row.name for row in catalog.rows}
        self._described: dict[str, tuple[_Version, ModelRow | None]] = {}
        self._lock = threading.Lock()

    def rows(self) -> tuple[ModelRow, ...]:
        """The usable models, by name; files that are none are set aside with a warning in the log, once."""
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
            if path.suffix in _SUFFIXES and path.name not in self._known and not path.name.startswith(".")
        ]

    def _describe(self, path: Path) -> tuple[_Version, ModelRow | None]:
        version = self._version(path)
        remembered = self._described.get(path.name)
        if remembered is not None and remembered[0] == version:
            return remembered
        try:
            return version, self._row(path, version)
        except (FramepackError, OSError, MemoryError, RuntimeError) as error:  # the last two: it does not fit in here
            _logger.warning("%s is set aside: %s", path.name, error)
            return version, None

    def _version(self, path: Path) -> _Version:
        rival = path.stem in self._taken or (path.suffix == ".safetensors" and path.with_suffix(".pth").exists())
        try:
            stat = path.stat()
        except OSError:
            return 0, 0, rival
        return stat.st_size, stat.st_mtime_ns, rival

    @staticmethod
    def _row(path: Path, version: _Version) -> ModelRow:
        from framepack.models.weights.networks import load_network

        if not _NAME.fullmatch(path.stem):
            raise ModelUnavailable("Its name has characters other than letters, digits, dot, _, + and -.")
        if version[2]:
            raise ModelUnavailable("Another model has the same name.")
        content = read_capped(path)
        network = load_network(parse_checkpoint(content, path.name))
        parameters = sum(parameter.numel() for parameter in network.model.parameters())
        architecture = " ".join([network.architecture.name, *network.tags])
        return ModelRow(
            name=path.stem,
            group="upscaler",
            architecture=architecture,
            scale=network.scale,
            weights=(Weights(path.name, None, len(content), hashlib.sha256(content).hexdigest(), "unknown"),),
            memory_mb=-(-4 * parameters // 1_000_000),
            description=f"Custom {network.scale}x model ({architecture})",
        )
