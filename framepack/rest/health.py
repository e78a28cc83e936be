"""``/health`` for people, ``/ping`` for RunPod's load balancer, ``/metrics`` for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from framepack import __version__
from framepack.jobs.backends.base import Readiness
from framepack.rest.auth import has_key

if TYPE_CHECKING:
    from framepack.rest.server import Server

_PING = {Readiness.STARTING: 204, Readiness.READY: 200, Readiness.BROKEN: 503}


_HIDDEN: Final = "The worker is not fit for jobs; asked with an API key, this says why."


class HealthDevice(BaseModel):
    """Where the worker's networks run."""

    device: str = Field(description="Such as `cuda:0` or `cpu`")
    name: str = Field(description="What the device is called")
    capability: str | None = Field(description="Compute capability of a GPU")
    memory_gb: float | None = Field(description="Memory of a GPU; 1 GB has 2^30 bytes")
    driver: str | None = Field(description="Version of the NVIDIA driver")


class Health(BaseModel):
    """How the server is."""

    status: str = Field(description="`ok`: the server answers")
    worker: Readiness = Field(description="`starting`, `ready` or `broken`")
    problem: str | None = Field(description="Why the worker is broken and what helps, for those with an API key")
    device: HealthDevice | None = Field(description="Of a local worker, once it is ready")
    backend: str = Field(description="`local` or `runpod`")
    jobs_queued: int
    jobs_running: int
    version: str


def health_routes(server: Server) -> APIRouter:
    """The routes about the server itself."""
    router = APIRouter(tags=["server"])

    @router.get("/health")
    async def health(request: Request) -> Health:
        """Say how the server is; needs no API key, but only with one it says what is wrong with the worker."""
        backend = server.backend
        problem = backend.problem if backend.readiness is Readiness.BROKEN else None
        return Health(
            status="ok",
            worker=backend.readiness,
            problem=problem if problem is None or has_key(request.scope) else _HIDDEN,
            device=None if backend.device is None else HealthDevice.model_validate(backend.device),
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
