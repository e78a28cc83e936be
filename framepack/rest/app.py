"""The ASGI application: middleware, routes and error handling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from framepack import __version__
from framepack.errors import BadRequest, FramepackError, InvalidField, MethodNotAllowed, NotFound, public
from framepack.rest.access import AccessLog
from framepack.rest.auth import OPEN_PATHS, ApiKeys, RequireApiKey
from framepack.rest.callback_routes import callback_routes
from framepack.rest.docs_page import DOCS
from framepack.rest.draining import DrainBody
from framepack.rest.errors import error_response
from framepack.rest.files import file_routes
from framepack.rest.health import health_routes
from framepack.rest.idempotency import JOB_ID
from framepack.rest.job_routes import job_routes
from framepack.rest.links import check_link
from framepack.rest.openapi.document import openapi_document
from framepack.rest.pages import page_routes
from framepack.rest.routes import add_operations
from framepack.rest.studio_page import STUDIO, bucket_origins
from framepack.rest.uploads import remove_old_uploads, upload_routes
from framepack.storage.outputs import PUBLIC_ROOT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from framepack.rest.server import Server

log = logging.getLogger("framepack.rest")

_TITLE: Final = "FramePack worker"
_CONTACT: Final = {"name": "The FramePack worker authors"}
_LICENSE: Final = {"name": "MIT", "identifier": "MIT"}
_DESCRIPTION: Final = """\
Post-processes AI-generated videos: upscaling, interpolation, filters, looping, joining and export, with progress,
cancellation and callbacks.

Every request needs an API key in `X-API-Key`, except health checks and signed links. A source is base64 data or a URL
that the server fetches. A request waits for its result. With `Prefer: respond-async` the response is 202 immediately,
and `GET /jobs/{job_id}` shows the state of the job. An error has a sentence in `detail` and a stable name in `code`.
"""
_THREADS: Final = 64  # for the store and DNS, which may be slow
_STARTS_AT_ONCE: Final = 8
# Keys are sent in a header, never by the browser on its own, so that no page can use those of its visitors.
_CORS: Final[dict[str, Any]] = {
    "allow_methods": ("GET", "HEAD", "POST", "DELETE"),
    "allow_headers": ("*",),
    "expose_headers": (
        "Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "ETag", "Location",
        "Preference-Applied", "Retry-After", JOB_ID,
    ),
    "max_age": 3600,
}  # fmt: skip
_ERRORS_OF_FRAMEWORK: Final = {each.status: each for each in (NotFound, MethodNotAllowed)}


def create_app(server: Server, keys: ApiKeys) -> FastAPI:
    """The application of one server."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "rest"))
        settings = server.runtime.settings
        keep = timedelta(hours=settings.job_retention_hours)
        upload_removal = asyncio.create_task(remove_old_uploads(server.runtime.storage, keep))
        await server.jobs.start()
        server.runtime.deliverer.start()
        yield
        upload_removal.cancel()
        await server.jobs.stop(settings.shutdown_grace_seconds)
        server.runtime.deliverer.stop()

    app = FastAPI(
        title=_TITLE,
        description=_DESCRIPTION,
        version=__version__,
        contact=_CONTACT,
        license_info=_LICENSE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        exception_handlers={
            FramepackError: _handle_error,
            RequestValidationError: _handle_error,
            HTTPException: _handle_error,
            ClientDisconnect: _handle_error,
        },
    )
    _add_routes(app, server)
    registry, public_url = server.runtime.dispatcher.registry, server.runtime.settings.public_url
    app.openapi = lambda: openapi_document(app, registry, public_url)  # type: ignore[method-assign]
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequireApiKey, keys=keys, check_link=partial(check_link, server))
    app.add_middleware(RequestThrottle)
    app.add_middleware(AccessLog, count_response=server.metrics.count_response, handle_error=_handle_error)
    if server.runtime.settings.cors_origins:
        app.add_middleware(CORSMiddleware, **_CORS, allow_origins=server.runtime.settings.cors_origins)
    app.add_middleware(WithoutTrailingSlash)
    app.add_middleware(DrainBody)
    return app


def _add_routes(app: FastAPI, server: Server) -> None:
    add_operations(app, server)
    routers = (
        job_routes(server),
        callback_routes(server),
        upload_routes(server),
        file_routes(server),
        health_routes(server),
        page_routes(DOCS),
        page_routes(STUDIO, partial(bucket_origins, server)),
    )
    for router in routers:
        app.include_router(router)
    routes = [*app.routes, *(route for router in routers for route in router.routes)]
    app.state.routes = [route for route in routes if isinstance(route, APIRoute)]


class RequestThrottle:
    """ASGI middleware that starts only a few requests per turn of the event loop, so that others are not delayed.

    Health checks are not throttled.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._starts = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait until the request may start, then pass it on."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            async with self._starts:
                await asyncio.sleep(0)
        await self._app(scope, receive, send)


class HeadAsGet:
    """ASGI middleware that answers HEAD like GET, without the body. The route of files does this itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as a GET, and drop the body of the response."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith(PUBLIC_ROOT):
            await self._app(scope, receive, send)
            return
        has_ended = False

        async def send_without_body(message: Message) -> None:
            nonlocal has_ended
            if message["type"] == "http.response.body" and not has_ended:
                has_ended = True
                await send({"type": "http.response.body", "body": b""})
            elif not has_ended:
                await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)


class WithoutTrailingSlash:
    """ASGI middleware that ignores a slash at the end of a path. After a redirect, many clients would send a GET.

    It counts in names of files, and in DELETE requests: ``/frames/{folder}/`` with an empty frame
    must not delete the folder.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, without the slash."""
        if scope["type"] == "http" and scope["method"] != "DELETE" and not scope["path"].startswith(PUBLIC_ROOT):
            path = scope["path"]
            scope = {**scope, "path": path[:-1] if path.endswith("/") and path != "/" else path}
        await self._app(scope, receive, send)


async def _handle_error(request: Request, error: Exception) -> Response:
    """The documented error response for any exception."""
    if isinstance(error, HTTPException):  # raised by the framework: unknown routes and methods
        kind = _ERRORS_OF_FRAMEWORK.get(error.status_code, BadRequest)
        allowed = {"Allow": ", ".join(_methods(request))} if kind is MethodNotAllowed else None
        return error_response(kind(f"{error.detail}."), allowed)
    if isinstance(error, RequestValidationError):
        first: dict[str, Any] = error.errors()[0]
        return error_response(InvalidField(f"{'.'.join(map(str, first['loc'][1:])) or 'input'}: {first['msg']}."))
    if isinstance(error, ClientDisconnect):  # nobody receives this response
        return error_response(BadRequest("The request is incomplete."))
    known = public(error)
    if known is not error:
        log.error("a request failed unexpectedly", exc_info=error)
    return error_response(known)


def _methods(request: Request) -> list[str]:
    """The methods of all routes with the request's path. The framework reports those of the first route only."""
    routes: list[APIRoute] = [each for each in request.app.state.routes if each.matches(request.scope)[0].value]
    methods = {method for each in routes if each.path == routes[0].path for method in each.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
