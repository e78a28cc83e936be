"""The state that all routes share: runtime, backend, job queue, metrics and limits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

from framepack.errors import UnknownEndpoint
from framepack.jobs.callbacks import JobCallbacks
from framepack.jobs.queue import JobQueue, Limits
from framepack.jobs.records import JobRecord, JobRecords
from framepack.rest.bodies import BodyReader
from framepack.rest.metrics import Metrics
from framepack.storage.open import deployment_secret, link_signer
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.api.schemas import Request
    from framepack.jobs.backends.base import Backend
    from framepack.processing.operation import AnyOperation
    from framepack.runtime import Runtime
    from framepack.storage.links import LinkSigner

_MAIN: Final = "worker"
_LIGHT: Final = "light"
_THREADS: Final = 16
_FORM_BYTES: Final = 100_000  # upper limit of what a form adds to its file


class Server:
    """A REST server.

    Args:
        runtime: Runs the operations that need only the store. It loads no models.
        backend: Runs all other operations.
        light: Runs the operations of the light lane.
    """

    def __init__(self, runtime: Runtime, backend: Backend, light: Backend) -> None:
        settings = runtime.settings
        self.runtime = runtime
        self.backend = backend
        self.light = light
        self.metrics = Metrics()
        limits = Limits(settings.max_queued_jobs, timedelta(hours=settings.job_retention_hours))
        records = JobRecords(runtime.storage)
        self.callbacks = JobCallbacks(runtime)
        backends = {_MAIN: backend, _LIGHT: light}
        self.jobs = JobQueue(records, backends, self._lane, self.callbacks, limits, self._on_ended)
        runtime.outbox.count = self.metrics.count_callback
        self.threads = asyncio.Semaphore(_THREADS)
        self.bodies = BodyReader(
            round(settings.max_body_mb * MB), settings.download_timeout_seconds, settings.temp_dir
        )
        self.max_upload_bytes = round(settings.max_source_mb * MB) + _FORM_BYTES
        self._add_gauges()

    @cached_property
    def secret(self) -> bytes:
        """The secret that all servers of the deployment share. Reading it for the first time blocks.

        Raises:
            FramepackError: the store failed.
        """
        return deployment_secret(self.runtime.settings, self.runtime.storage)

    @cached_property
    def signer(self) -> LinkSigner:
        """The signer of links to this server. Asking for it for the first time blocks.

        Raises:
            FramepackError: the store failed.
        """
        return link_signer(self.runtime.settings, self.runtime.storage)

    def lane_of(self, operation: AnyOperation, request: Request) -> str:
        """The lane for a request to an operation.

        Raises:
            InvalidField: A step of the request is invalid.
        """
        effects = self.runtime.dispatcher.registry.effects
        return _LIGHT if operation.needs == _LIGHT or operation.is_light(request, effects) else _MAIN

    def _lane(self, operation: str) -> str:
        """The lane of an operation. Jobs of older versions may have operations that no longer exist."""
        try:
            return _LIGHT if self.runtime.dispatcher.registry.find(operation).needs == _LIGHT else _MAIN
        except UnknownEndpoint:
            return _MAIN

    def _on_ended(self, record: JobRecord) -> None:
        """Count a job that has ended, and deliver its callback, which the worker has left in the outbox."""
        self.metrics.count_job(record)
        self.runtime.deliverer.wake()

    def _add_gauges(self) -> None:
        self.metrics.add_gauge("framepack_jobs_queued", "Waiting jobs", lambda: self.jobs.queued)
        self.metrics.add_gauge("framepack_jobs_running", "Running jobs", lambda: self.jobs.running)
        deliverer = self.runtime.deliverer
        self.metrics.add_gauge("framepack_callbacks_pending", "Callbacks to deliver", lambda: deliverer.pending)
        self.metrics.add_gauge(
            "framepack_callbacks_oldest_seconds", "Age of the oldest of them", lambda: deliverer.oldest_seconds
        )
        for name, description in {
            "model_loads": "Model loads since the worker has started",
            "models_loaded": "Models in the worker's memory",
            "memory_bytes": "Memory of the worker process",
        }.items():
            self.metrics.add_gauge(f"framepack_worker_{name}", description, partial(self._worker_statistic, name))

    def _worker_statistic(self, name: str) -> float:
        return float(self.backend.statistics.get(name, 0))
