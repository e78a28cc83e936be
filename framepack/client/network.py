"""The two ways to wait for the network: as a thread, or as a task of asyncio.

Everything else of the client is written once, in coroutines that wait through a `Network`. Those of `ThreadNetwork`
block instead of waiting, so that a coroutine which uses nothing else runs to its end in one step: `run_now`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

T = TypeVar("T")


class Network(Protocol):
    """Sends requests, waits, and does what may block."""

    @property
    def client(self) -> httpx.Client | httpx.AsyncClient:
        """Builds the requests."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response without its body."""

    async def read(self, response: httpx.Response) -> bytes:
        """Read the body of a response, and close it."""

    def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body of a response, as it arrives."""

    async def close_response(self, response: httpx.Response) -> None:
        """Close a response whose body is not needed to its end."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function that may block, such as one that writes a file."""

    async def close(self) -> None:
        """Close all connections."""


class ThreadNetwork:
    """Blocks the calling thread."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @property
    def client(self) -> httpx.Client:
        """Builds the requests."""
        return self._client

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response without its body."""
        return self._client.send(request, stream=True)

    async def read(self, response: httpx.Response) -> bytes:
        """Read the body of a response, and close it."""
        try:
            return response.read()
        finally:
            response.close()

    async def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body of a response, as it arrives."""
        for chunk in response.iter_bytes():
            yield chunk

    async def close_response(self, response: httpx.Response) -> None:
        """Close a response whose body is not needed to its end."""
        response.close()

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: ASYNC251 - this coroutine runs in no event loop

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function."""
        return function()

    async def close(self) -> None:
        """Close all connections."""
        self._client.close()


class TaskNetwork:
    """Lets the other tasks of the event loop run meanwhile."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @property
    def client(self) -> httpx.AsyncClient:
        """Builds the requests."""
        return self._client

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response without its body."""
        return await self._client.send(request, stream=True)

    async def read(self, response: httpx.Response) -> bytes:
        """Read the body of a response, and close it."""
        try:
            return await response.aread()
        finally:
            await response.aclose()

    async def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body of a response, as it arrives."""
        async for chunk in response.aiter_bytes():
            yield chunk

    async def close_response(self, response: httpx.Response) -> None:
        """Close a response whose body is not needed to its end."""
        await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function in a thread."""
        return await asyncio.to_thread(function)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def run_now(work: Awaitable[T]) -> T:
    """Run a coroutine that waits only through a `ThreadNetwork`, and return its result."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("A coroutine of the blocking client waited for an event loop.")
