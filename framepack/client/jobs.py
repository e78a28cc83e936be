"""Handles of jobs: look, follow, cancel, and get the result."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from framepack.client.answer import Answer, AsyncDownload, Download
from framepack.client.api import Api, Sending
from framepack.client.errors import ApiError, failure_of
from framepack.client.follow import follow, is_final, job_path
from framepack.client.network import run_now

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

T = TypeVar("T", bound=Answer)

State = Literal["queued", "running", "completed", "failed", "cancelled"]


class Progress(Answer):
    """How far a job has come, as far as it is known."""

    frames_done: int | None = None
    """Frames that are finished."""
    frames_total: int | None = None
    """Frames in all."""
    percent: float | None = None
    """From 0 to 100."""
    seconds_left: float | None = None
    """Estimated time left."""
    waiting_for: str | None = None
    """``the store`` while the result cannot be stored."""


class JobView(Answer):
    """What the server says of a job."""

    job_id: str
    """Its id."""
    operation: str
    """Name of the operation, such as ``upscale``."""
    state: State
    """Its state; the last three are final."""
    created: datetime
    """When it was submitted."""
    started: datetime | None = None
    """When its last attempt started."""
    ended: datetime | None = None
    """When it ended."""
    progress: Progress | None = None
    """How far it has come."""
    waiting_for: str | None = None
    """What it waits for, other than its turn: a sentence, or ``the store`` that its result needs."""
    result: dict[str, Any] | None = None
    """The answer of an ended job, or its ``error``, ``code`` and ``status``."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in {"completed", "failed", "cancelled"}


class JobList(Answer):
    """The newest jobs."""

    jobs: list[JobView]
    """Each without its result."""


class JobResult(Download):
    """The result of a job of any operation. It has more fields: those of the operation's answer."""

    message: str | None = None
    """What was done, for people."""
    output_path: str | None = None
    """Path of the output in the store, if there is one."""
    output_url: str | None = None
    """URL to download the output file."""
    warnings: list[str] | None = None
    """Non-fatal problems."""


class AsyncJobResult(AsyncDownload):
    """The result of a job of any operation. It has more fields: those of the operation's answer."""

    message: str | None = None
    """What was done, for people."""
    output_path: str | None = None
    """Path of the output in the store, if there is one."""
    output_url: str | None = None
    """URL to download the output file."""
    warnings: list[str] | None = None
    """Non-fatal problems."""


class FollowedJob(Generic[T]):
    """A job as both clients see it, in coroutines.

    Args:
        api: The server.
        job_id: The job's id.
        answer: The answer of its operation.
    """

    def __init__(self, api: Api, job_id: str, answer: type[T]) -> None:
        self.id = job_id
        self._api = api
        self._answer = answer
        self._last: dict[str, Any] = {}

    async def view(self) -> JobView:
        """Ask the server about the job."""
        self._last = await self._api.json(Sending("GET", job_path(self.id)))
        return JobView.of(self._last, self._api)

    async def views(self) -> AsyncGenerator[JobView, None]:
        """What the server says of the job, until it has ended."""
        async with aclosing(follow(self._api, self.id)) as views:
            async for view in views:
                self._last = view
                yield JobView.of(view, self._api)

    async def result(self) -> T:
        """Wait until the job has ended, and return its result.

        Raises:
            JobFailed: It has none.
        """
        if not is_final(self._last):
            async for _ in self.views():
                pass
        result = self._last.get("result") or {}
        if self._last.get("state") == "completed" and "error" not in result:
            return self._answer.of(result, self._api)
        raise failure_of(self.id, result)

    async def cancel(self) -> JobView:
        """Cancel the job, unless it has ended."""
        try:
            self._last = await self._api.json(Sending("DELETE", job_path(self.id)))
        except ApiError as error:
            view = await self.view() if error.code == "conflict" else None
            if view is None or not view.is_final:
                raise
            return view
        return JobView.of(self._last, self._api)


class Job(Generic[T]):
    """A job of a `Client`."""

    def __init__(self, job: FollowedJob[T]) -> None:
        self._job = job

    @property
    def id(self) -> str:
        """Its id, with which ``client.job`` finds it again, also in another process."""
        return self._job.id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def view(self) -> JobView:
        """Ask the server about the job.

        Raises:
            ApiError: There is no such job.
        """
        return run_now(self._job.view())

    def follow(self) -> Iterator[JobView]:
        """Yield what the server says of the job, now and after every change, until it has ended.

        A server that restarts in between is waited for.

        Raises:
            ApiError: There is no such job.
            ServerUnreachable: The server stayed away for longer than the patience.
        """
        views = self._job.views()
        try:
            while True:
                try:
                    yield run_now(anext(views))
                except StopAsyncIteration:
                    return
        finally:
            run_now(views.aclose())

    def result(self) -> T:
        """Wait until the job has ended, and return its result.

        Raises:
            JobFailed: It has none; `JobCancelled` if it was cancelled.
            ServerUnreachable: The server stayed away for longer than the patience.
        """
        return run_now(self._job.result())

    def cancel(self) -> JobView:
        """Cancel the job. A running job stops within a frame; one that has ended stays as it is.

        Raises:
            ApiError: There is no such job, or another server manages it.
        """
        return run_now(self._job.cancel())


class AsyncJob(Generic[T]):
    """A job of an `AsyncClient`."""

    def __init__(self, job: FollowedJob[T]) -> None:
        self._job = job

    @property
    def id(self) -> str:
        """Its id, with which ``client.job`` finds it again, also in another process."""
        return self._job.id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    async def view(self) -> JobView:
        """Ask the server about the job.

        Raises:
            ApiError: There is no such job.
        """
        return await self._job.view()

    def follow(self) -> AsyncIterator[JobView]:
        """Yield what the server says of the job, now and after every change, until it has ended.

        A server that restarts in between is waited for.

        Raises:
            ApiError: There is no such job.
            ServerUnreachable: The server stayed away for longer than the patience.
        """
        return self._job.views()

    async def result(self) -> T:
        """Wait until the job has ended, and return its result.

        Raises:
            JobFailed: It has none; `JobCancelled` if it was cancelled.
            ServerUnreachable: The server stayed away for longer than the patience.
        """
        return await self._job.result()

    async def cancel(self) -> JobView:
        """Cancel the job. A running job stops within a frame; one that has ended stays as it is.

        Raises:
            ApiError: There is no such job, or another server manages it.
        """
        return await self._job.cancel()
