"""The state that all routes share: runtime, backend, job queue, metrics and limits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from framepack.errors import UnknownEndpoint
from framepack.jobs.backends.base import why_not_ready
from framepack.jobs.callbacks import JobCallbacks
from framepack.jobs.queue import JobQueue, Limits
from framepack.jobs.records import JobRecord, JobRecords
from framepack.rest.bodies import BodyReader
from framepack.rest.metrics import LIGHT, MAIN, Metrics, Observed
from framepack.storage.open import deployment_secret, link_signer
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.api.schemas import Request
    from framepack.jobs.backends.base import Backend
    from framepack.processing.operation import AnyOperation
    from framepack.runtime import Runtime
    from framepack.storage.links import LinkSigner

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
        limits = Limits(settings.max_queued_jobs, timedelta(hours=settings.job_retention_hours))
        records = JobRecords(runtime.storage)
        self.callbacks = JobCallbacks(runtime)
        backends = {MAIN: backend, LIGHT: light}
        self.jobs = JobQueue(records, backends, self._lane, self.callbacks, limits, self._on_job_event)
        self.metrics = Metrics(
            Observed(lambda: self.why_not_ready() is None, self.jobs, backends, runtime.deliverer, settings.temp_dir)
        )
        runtime.outbox.count = self.metrics.count_callback
        self.threads = asyncio.Semaphore(_THREADS)
        self.bodies = BodyReader(
            round(settings.max_body_mb * MB), settings.download_timeout_seconds, settings.temp_dir
        )
        self.max_upload_bytes = round(settings.max_source_mb * MB) + _FORM_BYTES

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
        return LIGHT if operation.needs == LIGHT or operation.is_light(request, effects) else MAIN

    def _lane(self, operation: str) -> str:
        """The lane of an operation. Jobs of older versions may have operations that no longer exist."""
        try:
            return LIGHT if self.runtime.dispatcher.registry.find(operation).needs == LIGHT else MAIN
        except UnknownEndpoint:
            return MAIN

    def _on_job_event(self, record: JobRecord) -> None:
        """Count a job that has started or ended, and deliver the callback that an ended one left in the outbox."""
        if record.state.is_final:
            self.metrics.count_end(record)
            self.runtime.deliverer.wake()
        else:
            self.metrics.count_start(record, record.lane or self._lane(record.operation))

    def why_not_ready(self) -> str | None:
        """Why the server cannot run jobs now, as a sentence; None if it can."""
        return "The server is stopping." if self.jobs.is_stopping else why_not_ready(self.backend)
