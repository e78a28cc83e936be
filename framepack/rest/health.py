"""``/health`` for operators, ``/ping`` for RunPod, ``/ready`` for other probes, ``/metrics`` for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, Field

from framepack import __version__
from framepack.api.failures import Problem
from framepack.errors import Unavailable
from framepack.jobs.backends.base import Readiness, why_not_ready
from framepack.rest.auth import has_key

if TYPE_CHECKING:
    from framepack.rest.server import Server

_PING: Final = {Readiness.STARTING: 204, Readiness.READY: 200, Readiness.BROKEN: 503}
_HIDDEN: Final = "The worker cannot run jobs. Send an API key to see the reason."


class HealthDevice(BaseModel):
    """The worker's device for inference."""

    device: str = Field(description="Such as `cuda:0` or `cpu`")
    name: str = Field(description="Name of the device")
    capability: str | None = Field(description="Compute capability of a GPU")
    memory_gb: float | None = Field(description="Memory of a GPU; 1 GB has 2^30 bytes")
    driver: str | None = Field(description="Version of the NVIDIA driver")


class Health(BaseModel):
    """State of the server."""

    status: str = Field(description="`ok`: the server is running")
    worker: Readiness = Field(description="`starting`, `ready` or `broken`")
    light_worker: Readiness = Field(description="The same of the light lane; `ready` also while it is not needed")
    problem: str | None = Field(description="Why queued jobs wait and how to fix it; with an API key only")
    device: HealthDevice | None = Field(description="Device of a local worker, once it is ready")
    backend: str = Field(description="`local` or `runpod`")
    jobs_queued: int = Field(description="Number of waiting jobs")
    jobs_running: int = Field(description="Number of running jobs")
    version: str = Field(description="Version of the server")


class Ready(BaseModel):
    """The server can run jobs."""

    ready: Literal[True] = Field(True, description="Always true: otherwise the response is an error")  # noqa: FBT003


def health_routes(server: Server) -> APIRouter:
    """The routes about the server."""
    router = APIRouter(tags=["server"])

    @router.get("/health")
    async def health(request: Request) -> Health:
        """Show the state of the server. Needs no API key, but shows problems of the worker only with one."""
        backend = server.backend
        problem = why_not_ready(backend) or why_not_ready(server.light)
        return Health(
            status="ok",
            worker=backend.readiness,
            light_worker=server.light.readiness,
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
        """Show whether the server can run jobs: 200 yes, 204 starting, 503 no. Needs no API key."""
        return Response(status_code=503 if server.jobs.is_stopping else _PING[server.backend.readiness])

    @router.get(
        "/ready",
        response_model=Ready,
        responses={503: {"description": "starting, broken or stopping", "model": Problem}},
    )
    async def ready(request: Request) -> Ready:
        """Show whether the server can run jobs: 200 yes, 503 no, with the reason. Needs no API key.

        For readiness probes, which count every status below 400 as ready.
        """
        reason = server.why_not_ready()
        if reason is not None:
            raise Unavailable(reason if has_key(request.scope) else _HIDDEN)
        return Ready()

    _add_metrics(router, server)
    return router


def _add_metrics(router: APIRouter, server: Server) -> None:
    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics for Prometheus: readiness, queue, jobs, errors, durations, frames, callbacks, memory, disk."""
        body, content_type = server.metrics.render()
        return Response(body, media_type=content_type)
