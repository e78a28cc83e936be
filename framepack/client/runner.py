"""Carries operations out: sends the request, follows its job, and returns the answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from framepack.client.answer import Answer
from framepack.client.api import Api, Sending, new_key, segment
from framepack.client.errors import UNKNOWN, ApiError, ClientError, UnexpectedAnswer
from framepack.client.jobs import AsyncJob, FollowedJob, Job
from framepack.client.network import run_now
from framepack.client.sources import SourceField, Uploads
from framepack.client.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T", bound=Answer)


@dataclass(frozen=True, slots=True)
class Route:
    """The route of an operation.

    Attributes:
        method: Method of HTTP.
        path: Path, with the names of its fields in braces.
        is_job: Whether it can run as a job that is followed.
        is_once: Whether a repeated request with the same Idempotency-Key does nothing again.
        path_fields: The fields in the path.
        sources: The fields that hold sources.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    is_job: bool = False
    is_once: bool = True
    path_fields: tuple[str, ...] = ()
    sources: tuple[SourceField, ...] = ()


class SyncRunner:
    """Base of the operations of a `Client`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def _run(self, route: Route, answer: type[T], fields: Mapping[str, Any], key: str | None = None) -> T:
        return run_now(_run(self._api, route, answer, fields, key))


class SyncSubmitter:
    """Base of the jobs of a `Client`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def _submit(self, route: Route, answer: type[T], fields: Mapping[str, Any], key: str | None) -> Job[T]:
        return Job(FollowedJob(self._api, run_now(_submit(self._api, route, fields, key)), answer))


class AsyncRunner:
    """Base of the operations of an `AsyncClient`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def _run(self, route: Route, answer: type[T], fields: Mapping[str, Any], key: str | None = None) -> T:
        return await _run(self._api, route, answer, fields, key)


class AsyncSubmitter:
    """Base of the jobs of an `AsyncClient`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def _submit(self, route: Route, answer: type[T], fields: Mapping[str, Any], key: str | None) -> AsyncJob[T]:
        return AsyncJob(FollowedJob(self._api, await _submit(self._api, route, fields, key), answer))


@dataclass(slots=True)
class _Work:
    """A job from the upload of its sources to its end, which leaves nothing behind that nobody knows of.

    Attributes:
        api: The server.
        uploads: Its sources. They are deleted when no job needs them any more, unless the request may be repeated.
        may_repeat: Whether the user has a key, with which the same request finds the same job.
        request: What starts it.
        job_id: Its id, as soon as it is known.
    """

    api: Api
    uploads: Uploads
    may_repeat: bool
    request: Sending | None = None
    job_id: str | None = None

    @classmethod
    def of(cls, api: Api, key: str | None) -> Self:
        """The work of a request with this Idempotency-Key of the user."""
        return cls(api, Uploads(api, key or new_key()), key is not None)

    async def start(self, route: Route, fields: Mapping[str, Any]) -> str:
        """Upload the sources, start the job, and return its id."""
        self.request = await _sending(route, fields, self.uploads, {"Prefer": "respond-async"})
        self.job_id = await _started(self.api, self.request)
        return self.job_id

    async def abandon(self, error: BaseException, *, is_wanted: bool = False) -> None:
        """Clean up after an error. Its job is cancelled if the program was interrupted: nobody waits for it any more.

        Args:
            error: What has happened.
            is_wanted: Whether the job may go on.
        """
        if isinstance(error, ClientError):
            has_ended = self.request is None or (isinstance(error, ApiError) and error.code != UNKNOWN)
        else:
            has_ended = self.request is None or (not is_wanted and await self._cancel(self.request))
        if has_ended:
            await self.clean()

    async def clean(self) -> None:
        """Delete the uploads. Those that cannot be deleted now expire on the server."""
        for path in () if self.may_repeat else self.uploads.made:
            with suppress(ClientError):
                await self._hasty.delete(path)

    async def _cancel(self, request: Sending) -> bool:
        """Cancel the job, and return whether it has ended. If its id is not known, the same request finds it."""
        try:
            job_id = self.job_id or await _started(self._hasty, request)
            return (await FollowedJob(self._hasty, job_id, Answer).cancel()).is_final
        except ClientError:
            return False

    @property
    def _hasty(self) -> Api:
        return replace(self.api, timing=_HASTY)


_HASTY = Timing(patience=0, response=10, connect=5)


async def _submit(api: Api, route: Route, fields: Mapping[str, Any], key: str | None) -> str:
    """Start a job, and return its id."""
    work = _Work.of(api, key)
    try:
        return await work.start(route, fields)
    except BaseException as error:
        await work.abandon(error, is_wanted=work.may_repeat)
        raise


async def _run(api: Api, route: Route, answer: type[T], fields: Mapping[str, Any], key: str | None) -> T:
    """Carry an operation out. Sources that it has uploaded are deleted, unless the request may be repeated."""
    work = _Work.of(api, key)
    try:
        if route.is_job:
            result = await FollowedJob(api, await work.start(route, fields), answer).result()
        else:
            result = answer.of(await api.json(await _sending(route, fields, work.uploads)), api)
    except BaseException as error:
        await work.abandon(error)
        raise
    await work.clean()
    return result


async def _started(api: Api, request: Sending) -> str:
    """The id of the job that a request has started, now or before."""
    accepted = await api.json(request)
    job_id = accepted.get("job_id")
    if not isinstance(job_id, str):
        raise UnexpectedAnswer("The server's answer is not as this version expects it (job_id is missing).")
    return job_id


async def _sending(
    route: Route, fields: Mapping[str, Any], uploads: Uploads, headers: Mapping[str, str] | None = None
) -> Sending:
    """The request of an operation, with its sources uploaded."""
    places = {name: segment(name, fields.get(name)) for name in route.path_fields}
    wire = await uploads.fields({name: fields[name] for name in fields if name not in places}, route.sources)
    repeatable = {"Idempotency-Key": uploads.key} if route.is_once and route.method != "GET" else {}
    given = {**repeatable, **(headers or {})}
    path = route.path.format(**places)
    if route.method == "GET":
        query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in wire.items()}
        return Sending(route.method, path, query=query or None, headers=given)
    return Sending(route.method, path, body=wire or None, headers=given)
