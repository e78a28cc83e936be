"""Carries operations out: sends the request, follows its job, and returns the answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from framepack.client.answer import Answer
from framepack.client.api import Api, Sending, new_key, segment
from framepack.client.errors import ClientError
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
        uploads = Uploads(self._api, key or new_key())
        return Job(FollowedJob(self._api, run_now(_submit(self._api, route, fields, uploads)), answer))


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
        uploads = Uploads(self._api, key or new_key())
        return AsyncJob(FollowedJob(self._api, await _submit(self._api, route, fields, uploads), answer))


async def _submit(api: Api, route: Route, fields: Mapping[str, Any], uploads: Uploads) -> str:
    """Start a job, and return its id."""
    accepted = await api.json(await _sending(route, fields, uploads, {"Prefer": "respond-async"}))
    return str(accepted["job_id"])


async def _run(api: Api, route: Route, answer: type[T], fields: Mapping[str, Any], key: str | None) -> T:
    """Carry an operation out. Sources that it has uploaded are deleted, unless the request may be repeated."""
    uploads = Uploads(api, key or new_key())
    try:
        if not route.is_job:
            return answer.of(await api.json(await _sending(route, fields, uploads)), api)
        job = FollowedJob(api, await _submit(api, route, fields, uploads), answer)
        try:
            return await job.result()
        except (KeyboardInterrupt, asyncio.CancelledError):
            with suppress(ClientError):  # nobody waits for the result any more
                await FollowedJob(replace(api, timing=_HASTY), job.id, answer).cancel()
            raise
    finally:
        if key is None:
            await _delete(replace(api, timing=_HASTY), uploads.made)


_HASTY = Timing(patience=0, response=10, connect=5)


async def _delete(api: Api, paths: list[str]) -> None:
    """Delete uploads. Those that cannot be deleted now expire on the server."""
    for path in paths:
        with suppress(ClientError):
            await api.json(Sending("DELETE", path))


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
