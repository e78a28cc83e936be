"""The clients, one that blocks and one for asyncio."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final, Self

import httpx

from framepack import __version__
from framepack.client.answer import StoredFile
from framepack.client.api import Api, Sending, new_key
from framepack.client.download import download
from framepack.client.errors import ClientError
from framepack.client.generated.async_operations import AsyncOperations, AsyncSubmissions
from framepack.client.generated.operations import Operations, Submissions
from framepack.client.jobs import AsyncJob, AsyncJobResult, FollowedJob, Job, JobList, JobResult, JobView
from framepack.client.network import Network, TaskNetwork, ThreadNetwork, run_now
from framepack.client.sources import Upload, upload
from framepack.client.timing import Timing

if TYPE_CHECKING:
    import os
    from pathlib import Path

_HEADERS: Final = {"User-Agent": f"framepack-client/{__version__}", "Accept": "application/json"}
_LIMITS: Final = httpx.Limits(max_connections=None)
"""Every job that is followed holds a connection; the server has the limit."""


class Client(Operations):
    """One server of the API. Use it as a context manager, or call ``close``. Threads may share it.

    Each operation is a method, which waits and returns the result. ``submit`` has the same methods for jobs, which
    return at once with a handle.

    Args:
        url: Address of the server.
        key: API key.
        timing: How long to wait for what; by default as in `Timing`.
        http: The client of HTTPX to use, for example with certificates or a proxy of your own.

    Attributes:
        submit: Starts jobs.
    """

    def __init__(
        self, url: str, key: str | None = None, *, timing: Timing | None = None, http: httpx.Client | None = None
    ) -> None:
        network = ThreadNetwork(http or httpx.Client(headers=_HEADERS, limits=_LIMITS))
        super().__init__(_api(url, key, network, timing))
        self.submit = Submissions(self._api)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        run_now(self._api.network.close())

    def upload(self, file: str | os.PathLike[str] | IO[bytes], *, name: str | None = None) -> Upload:
        """Upload a file, to use it as the source of several operations.

        Args:
            file: Its path, or the file open in binary mode.
            name: What it is called on the server; by default its own name.

        Raises:
            ApiError: The server refused.
            OSError: The file cannot be read.
        """
        return run_now(upload(self._api, file, new_key(), name))

    def download(self, file: str | StoredFile, to: str | os.PathLike[str]) -> Path:
        """Download a file. Under its final name there is never a part of it.

        Args:
            file: A result, its ``output_path``, or a link.
            to: Path of the file to write, or a folder, in which it gets its own name.

        Returns:
            The path of the written file.

        Raises:
            ApiError: The server does not have the file any more.
            OSError: The file cannot be written.
        """
        return run_now(download(self._api, _address(file), to))

    def delete(self, file: str | StoredFile) -> None:
        """Delete a result or an upload.

        Raises:
            ApiError: There is no such file, or a running job needs it.
        """
        run_now(self._api.delete(_own_file(self._api, file)))

    def job(self, job_id: str) -> Job[JobResult]:
        """The handle of a job that was submitted before. The server is not asked yet."""
        return Job(FollowedJob(self._api, job_id, JobResult))

    def jobs(self, limit: int = 100) -> list[JobView]:
        """The newest jobs, without their results.

        Args:
            limit: How many at most, up to 1000.
        """
        return _listed(run_now(self._api.json(_listing(limit))), self._api)


class AsyncClient(AsyncOperations):
    """One server of the API, for asyncio. Use it as an asynchronous context manager, or await ``close``.

    Each operation is a method, which waits and returns the result. ``submit`` has the same methods for jobs, which
    return at once with a handle.

    Args:
        url: Address of the server.
        key: API key.
        timing: How long to wait for what; by default as in `Timing`.
        http: The client of HTTPX to use, for example with certificates or a proxy of your own.

    Attributes:
        submit: Starts jobs.
    """

    def __init__(
        self, url: str, key: str | None = None, *, timing: Timing | None = None, http: httpx.AsyncClient | None = None
    ) -> None:
        network = TaskNetwork(http or httpx.AsyncClient(headers=_HEADERS, limits=_LIMITS))
        super().__init__(_api(url, key, network, timing))
        self.submit = AsyncSubmissions(self._api)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._api.network.close()

    async def upload(self, file: str | os.PathLike[str] | IO[bytes], *, name: str | None = None) -> Upload:
        """Upload a file, to use it as the source of several operations.

        Args:
            file: Its path, or the file open in binary mode.
            name: What it is called on the server; by default its own name.

        Raises:
            ApiError: The server refused.
            OSError: The file cannot be read.
        """
        return await upload(self._api, file, new_key(), name)

    async def download(self, file: str | StoredFile, to: str | os.PathLike[str]) -> Path:
        """Download a file. Under its final name there is never a part of it.

        Args:
            file: A result, its ``output_path``, or a link.
            to: Path of the file to write, or a folder, in which it gets its own name.

        Returns:
            The path of the written file.

        Raises:
            ApiError: The server does not have the file any more.
            OSError: The file cannot be written.
        """
        return await download(self._api, _address(file), to)

    async def delete(self, file: str | StoredFile) -> None:
        """Delete a result or an upload.

        Raises:
            ApiError: There is no such file, or a running job needs it.
        """
        await self._api.delete(_own_file(self._api, file))

    def job(self, job_id: str) -> AsyncJob[AsyncJobResult]:
        """The handle of a job that was submitted before. The server is not asked yet."""
        return AsyncJob(FollowedJob(self._api, job_id, AsyncJobResult))

    async def jobs(self, limit: int = 100) -> list[JobView]:
        """The newest jobs, without their results.

        Args:
            limit: How many at most, up to 1000.
        """
        return _listed(await self._api.json(_listing(limit)), self._api)


def _api(url: str, key: str | None, network: Network, timing: Timing | None) -> Api:
    return Api(network, url.rstrip("/"), key, timing or Timing())


def _address(file: str | StoredFile) -> str:
    return file.server_path if isinstance(file, StoredFile) else file


def _own_file(api: Api, file: str | StoredFile) -> str:
    """The path or the address of a file of the server.

    Raises:
        ClientError: It is not a file of the server.
    """
    address = _address(file)
    if not (api.is_own(address) and address.removeprefix(api.url).startswith("/outputs/")):
        raise ClientError(f"{address!r} is not a file of {api.url}, whose paths begin with /outputs/.")
    return address


def _listing(limit: int) -> Sending:
    return Sending("GET", "/jobs", query={"limit": limit})


def _listed(answer: dict[str, Any], api: Api) -> list[JobView]:
    return JobList.of(answer, api).jobs
