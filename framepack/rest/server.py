"""What the routes share: the runtime, the backend, the jobs, and the server's own limits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from framepack.job import Job
from framepack.jobs.queue import Jobs, Limits
from framepack.jobs.records import JobRecord, JobRecords
from framepack.rest.fields import Bodies
from framepack.rest.metrics import Metrics
from framepack.storage.open import link_signer

if TYPE_CHECKING:
    from framepack.errors import FramepackError
    from framepack.jobs.backends.base import Backend
    from framepack.runtime import Runtime
    from framepack.storage.keys import Key
    from framepack.storage.links import LinkSigner, LinkStatus

_THREADS: Final = 16
_FORM_BYTES: Final = 100_000  # what a form adds to its file, generously


class Server:
    """One REST server.

    Args:
        runtime: Answers what needs only the store; loads no model.
        backend: Carries out everything else.
    """

    def __init__(self, runtime: Runtime, backend: Backend) -> None:
        settings = runtime.settings
        self.runtime = runtime
        self.backend = backend
        self.metrics = Metrics()
        limits = Limits(settings.max_queued_jobs, timedelta(hours=settings.job_retention_hours))
        self.jobs = Jobs(JobRecords(runtime.storage), backend, self._tell, limits, self.metrics.ended)
        self.threads = asyncio.Semaphore(_THREADS)
        self.bodies = Bodies(round(settings.max_body_mb * 1e6), settings.download_timeout_seconds)
        self.max_upload_bytes = round(settings.max_source_mb * 1e6) + _FORM_BYTES
        self._watch()

    def link(self, key: Key, expires: str, signature: str) -> LinkStatus:
        """What a link to a file is worth."""
        return self._signer.state(key, expires, signature)

    @cached_property
    def _signer(self) -> LinkSigner:
        return link_signer(self.runtime.settings, self.runtime.storage)

    def _tell(self, record: JobRecord, fields: dict[str, Any], error: FramepackError) -> None:
        """Tell a client's receiver how a job ended that no worker reports on."""
        dispatcher = self.runtime.dispatcher
        dispatcher.callbacks.failed(dispatcher.registry.find(record.operation), fields, error, Job(record.id))

    def _watch(self) -> None:
        self.metrics.watch("framepack_jobs_queued", "Jobs that wait", lambda: self.jobs.queued)
        self.metrics.watch("framepack_jobs_running", "Jobs under way", lambda: self.jobs.running)
        for name, meaning in {
            "model_loads": "Models that the worker has loaded since its start",
            "models_loaded": "Models that the worker holds",
            "memory_bytes": "Memory of the worker process",
        }.items():
            self.metrics.watch(f"framepack_worker_{name}", meaning, partial(self._of_worker, name))

    def _of_worker(self, name: str) -> float:
        return float(self.backend.statistics.get(name, 0))
