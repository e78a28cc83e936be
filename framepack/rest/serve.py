"""``framepack serve``: builds a server from the settings and runs it until it gets a signal to stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

import uvicorn

from framepack.checks.store import lost_with_container, store_error, try_store
from framepack.errors import DiskFull, FramepackError, InvalidSettings, Unavailable
from framepack.jobs.backends.local import LIGHT_SLOTS, LIGHT_WORKER, LocalBackend
from framepack.jobs.backends.runpod import RunpodBackend, fit_request
from framepack.logs import is_terminal, log_start, start_logging
from framepack.rest.app import create_app
from framepack.rest.auth import ApiKeys, new_key
from framepack.rest.browser import open_in_browser
from framepack.rest.connections import ConnectionLimits
from framepack.rest.server import Server
from framepack.runtime import Runtime
from framepack.units import MB

if TYPE_CHECKING:
    from fastapi import FastAPI

    from framepack.jobs.backends.base import Backend
    from framepack.settings import Settings

log = logging.getLogger("framepack.rest")

_ALL_ADDRESSES: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_BACKLOG: Final = 2048
_CLOSE_SECONDS: Final = 5  # for responses that are still being sent when everything else has ended


def serve(settings: Settings, host: str, port: int, *, opens_browser: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        settings: Of the server.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        opens_browser: Whether to open the studio in a browser of this machine.

    Raises:
        InvalidSettings: the RunPod endpoint is not configured.
        Unavailable: the port is in use, or the store's folder is not writable.
    """
    start_logging(settings)
    log_start(settings)
    listening = _listen(host, port)  # first: a server that nobody can reach must not resume jobs
    port = listening.getsockname()[1]
    if settings.public_url is None:
        settings = settings.model_copy(update={"public_url": _own_url(host, port)})
    _check_store_folder(settings)
    if (sentence := lost_with_container(settings)) is not None:
        log.warning(sentence)
    generated = None if settings.api_keys else new_key()
    server, app = build(settings, generated)
    gc.collect()
    gc.freeze()  # lives as long as the process: searching it takes about 0.1 s, during which no request is answered
    config = http_config(app, host, port)
    greet = partial(_greet, _local_url(host, port), generated, opens_browser=opens_browser)
    DrainingServer(config, lambda: server.jobs.stop(settings.shutdown_grace_seconds), greet).run([listening])


def _greet(url: str, generated: str | None, *, opens_browser: bool) -> None:
    """Tell whoever started the server how to open the studio.

    Args:
        url: The server's URL on this machine.
        generated: The API key of this run, which nobody knows yet; keys of the settings are not shown.
        opens_browser: Whether to open it.
    """
    address = f"{url}/#key={generated}" if generated else f"{url}/"
    if generated is None:
        log.info("Open %s in a browser; it asks for the API key.", address)
    elif is_terminal():
        print(f"Open {address} in a browser.", file=sys.stderr)  # noqa: T201 - for the person at the terminal
    else:
        log.info("Open %s/ in a browser; it asks for the API key.", url)
    if opens_browser:
        open_in_browser(address)


def http_config(app: FastAPI, host: str, port: int, limits: ConnectionLimits | None = None) -> uvicorn.Config:
    """The configuration of the HTTP server."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=(limits or ConnectionLimits()).protocol(),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    """Start to listen. Connections wait until the server is ready.

    Raises:
        Unavailable: it is not possible to listen on this address.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        remedy = "Choose another port with --port." if error.errno == errno.EADDRINUSE else "Check --host and --port."
        reason = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
        raise Unavailable(f"The server cannot listen on port {port} of {host}: {reason}. {remedy}") from error
    return listening


def _own_url(host: str, port: int) -> str:
    """The base URL of links when there is no setting for it."""
    url = _local_url(host, port)
    if host in _ALL_ADDRESSES:
        log.warning(
            "every output_url, in responses and callbacks, starts with %s, which other machines cannot open: "
            "set FRAMEPACK_PUBLIC_URL to the address that clients use",
            url,
        )
    return url


def _local_url(host: str, port: int) -> str:
    """The server's URL for browsers on this machine."""
    name = "127.0.0.1" if host in _ALL_ADDRESSES else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _check_store_folder(settings: Settings) -> None:
    """Refuse to start if the store is a folder that is not writable, because waiting does not help.

    The server does start with a bucket that does not respond, and with a full disk, which the API can clean up.

    Raises:
        Unavailable: the folder is not writable. The message has the reason and a remedy.
    """
    if not settings.storage.startswith("file:"):
        return
    try:
        try_store(Runtime(settings))
    except DiskFull:
        return
    except FramepackError as error:
        raise Unavailable(str(store_error(settings, error))) from error


def build(settings: Settings, generated: str | None = None) -> tuple[Server, FastAPI]:
    """Build the server and its ASGI application.

    Args:
        settings: Of the server.
        generated: Its API key, if the settings have none.

    Raises:
        InvalidSettings: the RunPod endpoint is not configured.
    """
    keys = [key.get_secret_value() for key in settings.api_keys]
    if generated is not None:
        keys = [generated]
        level = max(logging.WARNING, logging.root.level)  # must be visible: it is shown nowhere else
        log.log(level, "FRAMEPACK_API_KEYS is not set: the API key of this run is %s", generated)
    runtime = Runtime(settings)
    light = LocalBackend(_worker_environment(settings), LIGHT_WORKER, slots=LIGHT_SLOTS, is_lazy=True)
    server = Server(runtime, _backend(settings, runtime), light)
    return server, create_app(server, ApiKeys.of(keys))


def _backend(settings: Settings, runtime: Runtime) -> Backend:
    if settings.backend == "local":
        return LocalBackend(_worker_environment(settings))
    if settings.runpod_endpoint_id is None or settings.runpod_api_key is None:
        sentence = "FRAMEPACK_RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY must be set when FRAMEPACK_BACKEND is runpod."
        raise InvalidSettings([sentence])
    shared = runtime.storage if settings.storage.startswith("s3:") else None
    max_bytes = round(settings.max_source_mb * MB)
    fit = partial(fit_request, storage=shared, temp_dir=settings.temp_dir, max_bytes=max_bytes)
    return RunpodBackend(settings.runpod_endpoint_id, settings.runpod_api_key.get_secret_value(), fit)


def _worker_environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "FRAMEPACK_PUBLIC_URL": settings.public_url or ""}  # noqa: TID251 - passed on as a whole, not read


class DrainingServer(uvicorn.Server):
    """A server that lets its jobs end before it stops, and keeps responding in the meantime."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Callable[[], Awaitable[None]],
        on_started: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._on_started = on_started
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal to stop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then say so."""
        await super().startup(sockets)
        if self.started and self._on_started is not None:
            self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain at the first signal, and stop immediately at the second."""
        if self._loop is None or not self.started or self._draining is not None:
            super().handle_exit(sig, frame)
            return

        async def drained() -> None:
            await self._drain()
            super(DrainingServer, self).handle_exit(sig, frame)

        loop = self._loop
        loop.call_soon_threadsafe(lambda: setattr(self, "_draining", self._draining or loop.create_task(drained())))
