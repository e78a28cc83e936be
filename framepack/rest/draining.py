"""Reads what remains of a request's body after its response, so that the client sees the response, not a reset."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_BYTES: Final = 256_000_000
_MAX_SECONDS: Final = 30.0


class DrainBody:
    """ASGI middleware that reads and drops the rest of a body, within limits, when the response is sent already.

    Many clients read a response only after they have sent the whole body. If the server closed the connection before
    that, they would report a broken connection in place of, for example, status 413.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; drain its body before the end of the response."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        is_complete = False

        async def receive_noted() -> Message:
            nonlocal is_complete
            message = await receive()
            is_complete = not message.get("more_body", False)
            return message

        async def drain() -> None:
            dropped = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MAX_SECONDS):
                    while not is_complete and dropped < _MAX_BYTES:
                        dropped += len((await receive_noted()).get("body", b""))

        async def send_and_drain(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body") and not is_complete:
                await send({**message, "more_body": True})  # all of it: its length is in the headers
                await drain()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, receive_noted, send_and_drain)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
