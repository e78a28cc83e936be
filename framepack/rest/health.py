"""``/health`` for people, ``/ping`` for RunPod's load balancer, ``/metrics`` for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from framepack import __version__
from framepack.rest.backends.base import Readiness

if TYPE_CHECKING:
    from framepack.rest.server import Server

_PING = {Readiness.STARTING: 204, Readiness.READY: 200, Readiness.BROKEN: 503}


class Health(BaseModel):
    """How the server is."""

    status: str = Field(description="`ok`: the server answers")
    worker: Readiness = Field(description="`starting`, `ready` or `broken`")
    backend: str = Field(description="`local` or `runpod`")
    jobs_queued: int
    jobs_running: int
    version: str


def health_routes(server: Server) -> APIRouter:
    """The routes about the server itself."""
    router = APIRouter(tags=["server"])

    @router.get("/health")
    async def health() -> Health:
        """Say how the server is; needs no API key."""
        return Health(
            status="ok",
            worker=server.backend.readiness,
            backend=server.runtime.settings.backend,
            jobs_queued=server.jobs.queued,
            jobs_running=server.jobs.running,
            version=__version__,
        )

    @router.get(
        "/ping",
        response_class=Response,
        responses={204: {"description": "starting"}, 503: {"description": "broken or stopping"}},
    )
    async def ping() -> Response:
        """Say whether jobs can be carried out: 200; 204 while starting, 503 if not; needs no API key."""
        return Response(status_code=503 if server.jobs.is_stopping else _PING[server.backend.readiness])

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus: jobs, durations, queue, frames, memory."""
        body, content_type = server.metrics.exposed()
        return Response(body, media_type=content_type)

    return router
