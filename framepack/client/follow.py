"""Following a job: server-sent events, connected again when they break; questions where they do not get through."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import httpx

from framepack.client.api import Api, Sending, json_object, segment, undecodable
from framepack.client.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_MAX_FRUITLESS: Final = 2
"""After how many streams without any event the server is asked instead."""
_FINAL: Final = frozenset({"completed", "failed", "cancelled"})


def job_path(job_id: str) -> str:
    """The path of a job.

    Raises:
        ClientError: It cannot be the id of a job.
    """
    return f"/jobs/{segment('job_id', job_id)}"


def is_final(view: dict[str, Any]) -> bool:
    """Whether a job has ended."""
    return view.get("state") in _FINAL


async def follow(api: Api, job_id: str) -> AsyncGenerator[dict[str, Any], None]:
    """What the server says of a job, now and after every change, until it has ended.

    Raises:
        ApiError: There is no such job.
        ServerUnreachable: The server stayed away for longer than the patience.
    """
    fruitless, pauses = 0, api.timing.pauses()
    while fruitless < _MAX_FRUITLESS:
        fruitless += 1
        try:
            async with aclosing(_events(api, job_id)) as events:
                async for view in events:
                    fruitless, pauses = 0, api.timing.pauses()
                    yield view
                    if is_final(view):
                        return
        except httpx.TransportError:
            pass  # the server stops, or a proxy cuts long connections
        await api.network.sleep(next(pauses))
    last: dict[str, Any] | None = None
    while last is None or not is_final(last):
        view = await api.json(Sending("GET", job_path(job_id)))
        if view != last:
            yield view
        last = view
        if not is_final(view):
            await api.network.sleep(api.timing.poll)


async def _events(api: Api, job_id: str) -> AsyncGenerator[dict[str, Any], None]:
    """The events of one connection; none if what answers is not a stream of events."""
    accepted = {"Accept": "text/event-stream"}
    path = f"{job_path(job_id)}/events"
    response = await api.send(Sending("GET", path, headers=accepted, silence=api.timing.silence, is_streamed=True))
    try:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            return
        async for line in _lines(api.network.chunks(response)):
            name, _, value = line.partition(b":")
            if name == b"data":  # the server writes the JSON of an event in one line
                view = json_object(value)
                if view is None:
                    raise UnexpectedAnswer(f"{api.url} sends an event that is no JSON object.")
                yield view
    except httpx.DecodingError as error:
        raise undecodable(api.url) from error
    finally:
        await api.network.close_response(response)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The complete lines of a stream. HTTPX would end them at signs such as U+2028, too, which JSON may have."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
