"""Find the files of a Hugging Face repository: in the weights folder, in a Hub cache, or by downloading them.

A file whose size or hash differs from the published one is never parsed, whatever its source, and neither are pickles
or code. Repositories are downloaded whole into the weights folder, and get their final name when they are complete.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import DiskFull, ModelUnavailable, is_disk_full
from framepack.logs import adopt, is_terminal
from framepack.models.weights.fetch_locks import FetchLocks
from framepack.models.weights.language_catalog import resolve
from framepack.models.weights.shortage import Missing, Shortage

if TYPE_CHECKING:
    from framepack.models.spec import Group
    from framepack.models.weights.language_catalog import Repository, RepositoryFile
    from framepack.models.weights.store import WeightsLocation
    from framepack.settings import Settings

WANTED: Final = ("*.safetensors", "*.json", "*.txt", "*.jinja")
"""Files of a repository that are downloaded: weights that contain only tensors, and text. No pickles, no code."""

FetchRepository = Callable[["Repository", Path], None]
"""Downloads a repository into a folder."""

_Version = tuple[int, int, int]  # inode, size in bytes, modification time

_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH})
_QUICK_SECONDS: Final = 2.5
_PAUSE_SECONDS: Final = 1.0


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids downloads from the Hub."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def cache_folder() -> Path:
    """Return the cache folder of the Hub's own tools, as ``HF_HOME`` and ``HF_HUB_CACHE`` set it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def snapshot_in(cache: Path, repository: Repository) -> Path:
    """Return where a cache in the Hub's layout stores the pinned revision; the folder may not exist."""
    return cache / f"models--{repository.name.replace('/', '--')}" / "snapshots" / repository.revision


def download(repository: Repository, to: Path) -> None:
    """Download the pinned revision into the folder ``to``; an interrupted download is resumed.

    Raises:
        ModelUnavailable: The Hub cannot be reached, or denies access.
        DiskFull: There is no disk space for it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    adopt("huggingface_hub")
    if not is_terminal():
        disable_progress_bars()
    try:
        _require_hub()
        snapshot_download(repository.name, revision=repository.revision, local_dir=to, allow_patterns=list(WANTED))
    except Exception as error:  # its HTTP and storage libraries raise errors of their own
        if is_disk_full(error):
            raise DiskFull(f"There is no room in the weights folder for {repository.name}.") from error
        raise ModelUnavailable(
            f"The model {repository.name} could not be fetched from the Hugging Face Hub: {remedy(repository)}."
        ) from error


def _require_hub() -> None:
    """Check in a few quick tries that something listens at the Hub's address.

    Without a network, the Hub's client goes on for 24 seconds. That patience is right for a Hub that is there, but
    slow or overloaded, so every other failure is left to it.

    Raises:
        Exception: The address cannot be resolved, or nothing listens there.
    """
    from huggingface_hub import constants, get_session

    deadline = time.monotonic() + _QUICK_SECONDS
    while True:
        try:
            get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
        except Exception as error:  # those of its HTTP library, which has changed before
            if not _is_unreachable(error):
                return
            if time.monotonic() + _PAUSE_SECONDS > deadline:
                raise
        else:
            return
        time.sleep(_PAUSE_SECONDS)


def _is_unreachable(error: BaseException | None) -> bool:
    """Whether an error goes back to a host that cannot be resolved, or at which nothing listens."""
    while error is not None:
        if isinstance(error, (socket.gaierror, ConnectionRefusedError)):
            return True
        if isinstance(error, OSError) and error.errno in _NO_ROUTE:
            return True
        error = error.__cause__ or error.__context__
    return False


def remedy(repository: Repository) -> str:
    """Advice for a missing repository, as the end of a sentence."""
    if not repository.revision:
        return "put its files there"
    return f"run `python -m framepack weights fetch {repository.name}` where it can be reached"


class HubSnapshots:
    """Finds and downloads the repositories of language models. Thread-safe.

    Args:
        folder: The weights folder; a repository is stored in its subfolder ``organization/name``.
        caches: Folders in the Hub's cache layout, which are only read.
        allow_download: Whether missing repositories may be downloaded.
        repository_for: Returns the repository that the deployment uses for a group of models.
        fetch: Downloads a repository.
    """

    def __init__(
        self,
        folder: Path,
        *,
        caches: Callable[[], Iterable[Path]],
        allow_download: bool,
        repository_for: Callable[[Group], Repository],
        fetch: FetchRepository = download,
    ) -> None:
        self.repository_for = repository_for
        self._folder = folder
        self._caches = caches
        self._allow_download = allow_download
        self._fetch = fetch
        self._locks = FetchLocks(folder)
        self._verified: dict[tuple[_Version, str], bool] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> HubSnapshots:
        """Build from a worker's settings."""
        names = {"enhancer": settings.enhancer_model, "captioner": settings.captioner_model}
        return cls(
            settings.weights_dir,
            caches=lambda: (settings.hub_cache_dir, cache_folder()),
            allow_download=settings.weights_download,
            repository_for=lambda group: resolve(names[group], group),
        )

    def open(self, repository: Repository) -> Path:
        """Return a folder with the repository's files; download them if they are not on this machine.

        Raises:
            ModelUnavailable: It is missing and cannot be downloaded, or is not the published one.
            DiskFull: There is no disk space to download it.
        """
        for folder in self._candidates(repository):
            if folder.exists() and (
                folder == self._local_folder(repository) or self._missing_file(folder, repository) is None
            ):
                self._verify(folder, repository)
                return folder
        return self.fetch(repository)

    def fetch(self, repository: Repository) -> Path:
        """Return the repository's folder inside the weights folder; download it if it is missing.

        Raises:
            ModelUnavailable: It cannot be downloaded, or is not the published one.
            DiskFull: There is no disk space for it.
        """
        target = self._local_folder(repository)
        if target.exists():
            self._verify(target, repository)
            return target
        if not repository.revision or not self._allow_download or is_offline():
            raise ModelUnavailable(
                f"The model {repository.name} is not on this worker: {remedy(repository)}, "
                "or let the worker fetch it with FRAMEPACK_WEIGHTS_DOWNLOAD."
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._locks.exclusive(repository.name):
                if not target.exists():
                    self._fetch_to(target, repository)
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(f"There is no room in the weights folder for {repository.name}.") from error
            raise ModelUnavailable(f"The model {repository.name} cannot be stored: {remedy(repository)}.") from error
        return target

    def where(self, repository: Repository, *, verify: bool = False) -> WeightsLocation:
        """Locate the repository; compare names and sizes, and with ``verify`` also hashes."""
        return self._locate(repository, verify=verify)[0]

    def shortage(self, repository: Repository) -> Shortage | None:
        """What this machine lacks for a language model; None if nothing. Does not verify hashes."""
        from huggingface_hub import constants

        where, problem = self._locate(repository, verify=False)
        if where == "wrong":
            return Shortage(problem)
        if where != "missing":
            return None
        return Missing(
            model=repository.name,
            files="its files",
            is_one=False,
            size_bytes=repository.size_bytes,
            url=constants.ENDPOINT,
            folder=self._local_folder(repository),
            may_download=self._allow_download and not is_offline(),
        ).shortage()

    def _locate(self, repository: Repository, *, verify: bool) -> tuple[WeightsLocation, str]:
        """Locate the repository; with a sentence if what is there is wrong."""
        target = self._local_folder(repository)
        for folder in self._candidates(repository):
            if not folder.exists() or (folder != target and self._missing_file(folder, repository)):
                continue
            try:
                self._verify(folder, repository, hashes=verify)
            except ModelUnavailable as error:
                return "wrong", error.message
            except OSError as error:
                return "wrong", f"The files of {repository.name} in {folder} cannot be read: {error.strerror}."
            return ("folder" if folder == target else "cache"), ""
        return "missing", ""

    def _local_folder(self, repository: Repository) -> Path:
        return repository.folder or self._folder / repository.name

    def _candidates(self, repository: Repository) -> list[Path]:
        caches = self._caches() if repository.revision else ()
        snapshots = [snapshot_in(cache, repository) for cache in caches]
        return [self._local_folder(repository), *(each for each in snapshots if os.access(each, os.R_OK | os.X_OK))]

    def _fetch_to(self, target: Path, repository: Repository) -> None:
        part = target.with_name(f".{target.name}.part")
        self._fetch(repository, part)
        try:
            self._verify(part, repository)
        except ModelUnavailable:
            shutil.rmtree(part, ignore_errors=True)
            raise
        shutil.rmtree(part / ".cache", ignore_errors=True)  # metadata of the Hub's tools
        part.replace(target)

    @staticmethod
    def _missing_file(folder: Path, repository: Repository) -> str | None:
        """Return a missing file, or None. Without a list of files, a configuration and safetensors suffice."""
        listed = [file.path for file in repository.files]
        missing = [path for path in listed or ["config.json"] if not (folder / path).is_file()]
        if missing:
            return missing[0]
        return None if any(folder.glob("*.safetensors")) else "*.safetensors"

    def _verify(self, folder: Path, repository: Repository, *, hashes: bool = True) -> None:
        """Check that the folder contains the published files, and no other weights.

        Raises:
            ModelUnavailable: A file is missing or not the published one.
        """
        missing = self._missing_file(folder, repository)
        if missing is not None:
            first = "delete it, then " if repository.revision else ""
            raise ModelUnavailable(
                f"The folder of {repository.name} lacks {missing} (weights are read from safetensors files only): "
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
        """Compare size and hash; an unchanged file is hashed only once."""
        path = folder / file.path
        stat = path.stat()
        if stat.st_size != file.size_bytes or not hashes:
            return stat.st_size == file.size_bytes
        version = (stat.st_ino, stat.st_size, stat.st_mtime_ns), file.sha256
        if version not in self._verified:
            with path.open("rb") as content:
                self._verified[version] = hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        return self._verified[version]
