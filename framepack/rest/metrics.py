"""Metrics of the server for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from framepack.jobs.records import JobRecord
    from framepack.outbox.outbox import Event

_BUCKETS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counts jobs and responses. Each instance has a registry of its own, so that a process may have several."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._jobs = Counter("framepack_jobs", "Jobs that ended", ["operation", "state"], registry=self.registry)
        self._seconds = Histogram(
            "framepack_job_seconds",
            "Time from the last start of a job to its end",
            ["operation"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._frames = Counter("framepack_frames", "Output frames", ["operation"], registry=self.registry)
        self._rate = Gauge(
            "framepack_frames_per_second",
            "Speed of the last job with frames",
            ["operation"],
            registry=self.registry,
        )
        self._requests = Counter("framepack_requests", "HTTP responses", ["method", "status"], registry=self.registry)
        self._callbacks = Counter(
            "framepack_callbacks",
            "Callbacks delivered, attempts failed, callbacks exhausted",
            ["event"],
            registry=self.registry,
        )
        self._gauge = Gauge

    def add_gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a metric whose value is computed on every request for the metrics."""
        self._gauge(name, description, registry=self.registry).set_function(value)

    def count_response(self, method: str, status: int) -> None:
        """Count an HTTP response. All non-standard methods count as ``other``."""
        self._requests.labels(method if method in _METHODS else "other", str(status)).inc()

    def count_callback(self, event: Event) -> None:
        """Count what has happened to a callback."""
        self._callbacks.labels(event).inc()

    def count_job(self, record: JobRecord) -> None:
        """Count a job that has ended."""
        self._jobs.labels(record.operation, record.state).inc()
        if record.started is None or record.ended is None:
            return
        seconds = (record.ended - record.started).total_seconds()
        self._seconds.labels(record.operation).observe(seconds)
        frames = (record.progress or {}).get("frames_done", 0)
        if frames and seconds > 0:
            self._frames.labels(record.operation).inc(frames)
            self._rate.labels(record.operation).set(frames / seconds)

    def render(self) -> tuple[bytes, str]:
        """All metrics as text, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
