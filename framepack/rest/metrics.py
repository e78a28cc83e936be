"""The server's figures in Prometheus' form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from framepack.jobs.records import JobRecord

_BUCKETS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counts what happens to jobs; a registry of its own, so that several servers can live in one process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._jobs = Counter("framepack_jobs", "Jobs that ended", ["operation", "state"], registry=self.registry)
        self._seconds = Histogram(
            "framepack_job_seconds",
            "Time from the last beginning of a job to its end",
            ["operation"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._frames = Counter("framepack_frames", "Frames made", ["operation"], registry=self.registry)
        self._rate = Gauge(
            "framepack_frames_per_second",
            "Speed of the last job that made frames",
            ["operation"],
            registry=self.registry,
        )
        self._requests = Counter("framepack_requests", "HTTP answers", ["method", "status"], registry=self.registry)
        self._gauge = Gauge

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a figure that is asked for when somebody looks."""
        self._gauge(name, meaning, registry=self.registry).set_function(value)

    def answered(self, method: str, status: int) -> None:
        """Count an HTTP answer; methods that clients make up count as one."""
        self._requests.labels(method if method in _METHODS else "other", str(status)).inc()

    def ended(self, record: JobRecord) -> None:
        """Count a job that ended."""
        self._jobs.labels(record.operation, record.state).inc()
        if record.started is None or record.ended is None:
            return
        seconds = (record.ended - record.started).total_seconds()
        self._seconds.labels(record.operation).observe(seconds)
        frames = (record.progress or {}).get("frames_done", 0)
        if frames and seconds > 0:
            self._frames.labels(record.operation).inc(frames)
            self._rate.labels(record.operation).set(frames / seconds)

    def exposed(self) -> tuple[bytes, str]:
        """All figures as text, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
