"""Find a repository's files: in the weights folder, in a cache of the Hugging Face Hub, or fetched from there.

A file with another size or hash than the published one is never parsed, wherever it came from, and neither are
pickles or code. Whole repositories are fetched into the weights folder, one after another, and get their name there
when they are complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.errors import DiskFull, ModelUnavailable, is_disk_full
from framepack.models.weights.fetch_locks import FetchLocks
from framepack.models.weights.hub import cache_folder, download, is_offline, remedy, snapshot_in
from framepack.models.weights.language_catalog import resolve

if TYPE_CHECKING:
    from framepack.models.spec import Group
    from framepack.models.weights.language_catalog import Repository, RepositoryFile
    from framepack.models.weights.store import Place
    from framepack.settings import Settings

FetchRepository = Callable[["Repository", Path], None]
"""Fetches a repository into a folder."""

_Version = tuple[int, int, int]  # inode, size in bytes, time of last change


class Snapshots:
    """The language models there are, and a way to the others; safe from any thread.

    Args:
        folder: the weights folder; a repository lies in ``organization/name`` inside.
        caches: folders in the Hub's cache layout, which are only read.
        allow_download: whether what is missing may be fetched.
        chosen: the repositories that the deployment uses, by their group.
        fetch: fetches a repository.
    """

    def __init__(
        self,
        folder: Path,
        *,
        caches: Callable[[], Iterable[Path]],
        allow_download: bool,
        chosen: Callable[[Group], Repository],
        fetch: FetchRepository = download,
    ) -> None:
        self.chosen = chosen
        self._folder = folder
        self._caches = caches
        self._allow_download = allow_download
        self._fetch = fetch
        self._locks = FetchLocks(folder)
        self._good: dict[tuple[_Version, str], bool] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Snapshots:
        """Build those of one worker."""
        names = {"enhancer": settings.enhancer_model, "captioner": settings.captioner_model}
        return cls(
            settings.weights_dir,
            caches=lambda: (settings.hub_cache_dir, cache_folder()),
            allow_download=settings.weights_download,
            chosen=lambda group: resolve(names[group], group),
        )

    def open(self, repository: Repository) -> Path:
        """Return a folder with the repository's files, fetched if it is nowhere.

        Raises:
            ModelUnavailable: it is not to be had, or not the published one.
            DiskFull: there is no room to fetch it.
        """
        for folder in self._places(repository):
            if folder.exists() and (folder == self._home(repository) or self._lacks(folder, repository) is None):
                self._verify(folder, repository)
                return folder
        return self.fetch(repository)

    def fetch(self, repository: Repository) -> Path:
        """Return the repository's folder inside the weights folder, fetched if it is not there.

        Raises:
            ModelUnavailable: it cannot be fetched, or is not the published one.
            DiskFull: there is no room for it.
        """
        home = self._home(repository)
        if home.exists():
            self._verify(home, repository)
            return home
        if not repository.revision or not self._allow_download or is_offline():
            raise ModelUnavailable(
                f"The model {repository.name} is not on this worker: {remedy(repository)}, "
                "or let the worker fetch it with FRAMEPACK_WEIGHTS_DOWNLOAD."
            )
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with self._locks.alone(repository.name):
                if not home.exists():
                    self._fetch_to(home, repository)
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(f"There is no room in the weights folder for {repository.name}.") from error
            raise ModelUnavailable(f"The model {repository.name} cannot be stored: {remedy(repository)}.") from error
        return home

    def where(self, repository: Repository, *, verify: bool = False) -> Place:
        """Say where the repository is, by names and sizes alone unless ``verify`` asks for hashes as well."""
        home = self._home(repository)
        for folder in self._places(repository):
            if not folder.exists() or (folder != home and self._lacks(folder, repository)):
                continue
            try:
                self._verify(folder, repository, hashes=verify)
            except (ModelUnavailable, OSError):
                return "wrong"
            return "folder" if folder == home else "cache"
        return "missing"

    def _home(self, repository: Repository) -> Path:
        return repository.folder or self._folder / repository.name

    def _places(self, repository: Repository) -> list[Path]:
        caches = self._caches() if repository.revision else ()
        snapshots = [snapshot_in(cache, repository) for cache in caches]
        return [self._home(repository), *(each for each in snapshots if os.access(each, os.R_OK | os.X_OK))]

    def _fetch_to(self, home: Path, repository: Repository) -> None:
        part = home.with_name(f".{home.name}.part")
        self._fetch(repository, part)
        try:
            self._verify(part, repository)
        except ModelUnavailable:
            shutil.rmtree(part, ignore_errors=True)
            raise
        shutil.rmtree(part / ".cache", ignore_errors=True)  # notes of the Hub's tools
        part.replace(home)

    @staticmethod
    def _lacks(folder: Path, repository: Repository) -> str | None:
        """Name a file that is not there; a repository without a list needs a configuration and safetensors."""
        listed = [file.path for file in repository.files]
        missing = [path for path in listed or ["config.json"] if not (folder / path).is_file()]
        if missing:
            return missing[0]
        return None if any(folder.glob("*.safetensors")) else "*.safetensors"

    def _verify(self, folder: Path, repository: Repository, *, hashes: bool = True) -> None:
        """Return if the folder holds the published files.

        Raises:
            ModelUnavailable: a file is missing, is another one, or holds weights that were not published.
        """
        lacking = self._lacks(folder, repository)
        if lacking is not None:
            first = "delete it, then " if repository.revision else ""
            raise ModelUnavailable(
                f"The folder of {repository.name} lacks {lacking} (weights are read from safetensors files only): "
                f"{first}{remedy(repository)}."
            )
        published = {file.path for file in repository.files}
        unknown = [path.name for path in folder.glob("*.safetensors") if published and path.name not in published]
        wrong = [file.path for file in repository.files if not self._is_published(folder, file, hashes=hashes)]
        for name in [*unknown, *wrong]:
            raise ModelUnavailable(
                f"The file {name} of {repository.name} is not the published one: delete it or replace it."
            )

    def _is_published(self, folder: Path, file: RepositoryFile, *, hashes: bool) -> bool:
        """Compare size and hash; a file that has not changed since is hashed once."""
        path = folder / file.path
        stat = path.stat()
        if stat.st_size != file.size_bytes or not hashes:
            return stat.st_size == file.size_bytes
        version = (stat.st_ino, stat.st_size, stat.st_mtime_ns), file.sha256
        if version not in self._good:
            with path.open("rb") as content:
                self._good[version] = hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        return self._good[version]
