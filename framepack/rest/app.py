"""The ASGI application: the gate, the routes, and one way to tell of everything that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from framepack import __version__
from framepack.errors import BadRequest, FramepackError, InvalidField, MethodNotAllowed, NotFound, public
from framepack.rest.access import AccessLog
from framepack.rest.auth import OPEN_PATHS, ApiKeys, KeyGate
from framepack.rest.docs_page import docs_routes
from framepack.rest.errors import error_response
from framepack.rest.fields import declared_query
from framepack.rest.files import check_link, file_routes
from framepack.rest.health import health_routes
from framepack.rest.job_routes import job_routes
from framepack.rest.openapi import described
from framepack.rest.routes import add_operations
from framepack.rest.uploads import sweep_uploads, upload_routes
from framepack.storage.outputs import PUBLIC_ROOT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from framepack.rest.server import Server

log = logging.getLogger("framepack.rest")

_TITLE: Final = "FramePack worker"
_LICENSE: Final = {"name": "MIT", "identifier": "MIT"}
_DESCRIPTION: Final = """\
Finishes AI videos: upscales, interpolates, filters, loops, joins and exports them, with progress, cancellation and
callbacks.

Every request carries an API key in `X-API-Key`, except health checks and signed links. A source is base64, or an
address that the server fetches. A request waits for its result; with `Prefer: respond-async` it is answered 202 at
once, and `GET /jobs/{job_id}` tells how the job is going. An error is one sentence in `detail` and a stable name in
`code`.
"""
_THREADS: Final = 64  # for the store and name servers, which may be slow
_BEGINNINGS: Final = 8
_OF_FRAMEWORK: Final = {each.status: each for each in (NotFound, MethodNotAllowed)}


def create_app(server: Server, keys: ApiKeys) -> FastAPI:
    """The application of one server."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "rest"))
        settings = server.runtime.settings
        keep = timedelta(hours=settings.job_retention_hours)
        sweeping = asyncio.create_task(sweep_uploads(server.runtime.storage, keep))
        await server.jobs.start()
        yield
        sweeping.cancel()
        await server.jobs.stop(settings.shutdown_grace_seconds)

    app = FastAPI(
        title=_TITLE,
        description=_DESCRIPTION,
        version=__version__,
        license_info=_LICENSE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        exception_handlers={
            FramepackError: _told,
            RequestValidationError: _told,
            HTTPException: _told,
            ClientDisconnect: _told,
        },
    )
    add_operations(app, server)
    strict = [job_routes(server.jobs), upload_routes(server)]
    lenient = [file_routes(server), health_routes(server), docs_routes(app)]  # others may add to these addresses
    for router in strict:
        app.include_router(router, dependencies=[Depends(declared_query)])
    for router in lenient:
        app.include_router(router)
    routes = [*app.routes, *(route for router in (*strict, *lenient) for route in router.routes)]
    app.state.routes = [route for route in routes if isinstance(route, APIRoute)]
    app.openapi = lambda: described(app, server.runtime.dispatcher.registry)  # type: ignore[method-assign]
    app.add_middleware(Head)
    app.add_middleware(KeyGate, keys=keys, check_link=partial(check_link, server))
    app.add_middleware(Pace)
    app.add_middleware(AccessLog, answered=server.metrics.answered, tell=_told)
    return app


class Pace:
    """ASGI middleware: of many requests at once a few begin per turn of the event loop; health checks pass by."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turn = asyncio.Semaphore(_BEGINNINGS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a turn, then pass the request on."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            async with self._turn:
                await asyncio.sleep(0)
        await self._app(scope, receive, send)


class Head:
    """ASGI middleware: HEAD is answered as GET is, without the body; files do so by themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as a GET, and end the answer where its body begins."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith(PUBLIC_ROOT):
            await self._app(scope, receive, send)
            return
        has_ended = False

        async def bodiless(message: Message) -> None:
            nonlocal has_ended
            if message["type"] == "http.response.body" and not has_ended:
                has_ended = True
                await send({"type": "http.response.body", "body": b""})
            elif not has_ended:
                await send(message)

        await self._app({**scope, "method": "GET"}, receive, bodiless)


async def _told(request: Request, error: Exception) -> Response:
    """Every error as the documented ``detail``, one sentence."""
    if isinstance(error, HTTPException):  # what the framework refuses by itself: unknown routes and methods
        kind = _OF_FRAMEWORK.get(error.status_code, BadRequest)
        allowed = {"Allow": ", ".join(_methods(request))} if kind is MethodNotAllowed else None
        return error_response(kind(f"{error.detail}."), allowed)
    if isinstance(error, RequestValidationError):
        first: dict[str, Any] = error.errors()[0]
        return error_response(InvalidField(f"{'.'.join(map(str, first['loc'][1:])) or 'input'}: {first['msg']}."))
    if isinstance(error, ClientDisconnect):  # nobody reads this answer
        return error_response(BadRequest("The request ended too early."))
    known = public(error)
    if known is not error:
        log.error("a request failed unexpectedly", exc_info=error)
    return error_response(known)


def _methods(request: Request) -> list[str]:
    """The methods of the path, on all its routes: the framework looks no further than the first."""
    routes: list[APIRoute] = [each for each in request.app.state.routes if each.matches(request.scope)[0].value]
    methods = {method for each in routes if each.path == routes[0].path for method in each.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
