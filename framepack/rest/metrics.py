"""Metrics of the server for Prometheus: `METRICS` declares all of them, and ``docs/metrics.md`` is made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from framepack.errors import published
from framepack.files.scratch import free_bytes
from framepack.jobs.backends.base import Readiness
from framepack.jobs.records import State

if TYPE_CHECKING:
    from pathlib import Path

    from framepack.jobs.backends.base import Backend
    from framepack.jobs.queue import JobQueue
    from framepack.jobs.records import JobRecord
    from framepack.outbox.deliverer import Deliverer
    from framepack.outbox.outbox import Event

Values = Mapping[tuple[str, ...], float]
"""Values of a metric by the values of its labels."""

MAIN: Final = "worker"
LIGHT: Final = "light"
"""Names of the lanes."""

_BUCKETS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CODES: Final = frozenset(error.code for error in published())
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of a server that metrics are computed from.

    Attributes:
        is_ready: Whether the server can run jobs.
        jobs: Its job queue.
        backends: Its backends by lane.
        deliverer: Delivers its callbacks.
        temp_dir: The folder for working files.
    """

    is_ready: Callable[[], bool]
    jobs: JobQueue
    backends: Mapping[str, Backend]
    deliverer: Deliverer
    temp_dir: Path


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: Its name in ``/metrics``.
        kind: Its type in Prometheus.
        description: What it is, in words.
        labels: Names of its labels.
        read: Computes its values whenever the metrics are asked for, from what the server has in memory; None if
            events are counted.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ()
    read: Callable[[Observed], Values] | None = None


Read = Callable[[Observed], Values]


def _one(read: Callable[[Observed], float]) -> Read:
    """Values of a metric without labels."""
    return lambda observed: {(): float(read(observed))}


def _by_lane(read: Callable[[Backend], float]) -> Read:
    """Values of a metric with one value for the worker of each lane."""
    return lambda observed: {(lane,): float(read(backend)) for lane, backend in observed.backends.items()}


def _reported(statistic: str) -> Read:
    """A figure from the last message of the worker process; no value before the first one."""

    def read(observed: Observed) -> Values:
        value = observed.backends[MAIN].statistics.get(statistic)
        return {} if value is None else {(): float(value)}

    return read


def _free_bytes(observed: Observed) -> Values:
    try:
        return {(): float(free_bytes(observed.temp_dir))}
    except OSError:  # there is no such folder yet
        return {}


_REPORTED: Final = "as the worker last reported it"

_JOBS: Final = Metric("framepack_jobs_total", "counter", "Jobs that ended", ("operation", "state"))
_ERRORS: Final = Metric(
    "framepack_job_errors_total", "counter", "Jobs that failed, by error code", ("operation", "code")
)
_SECONDS: Final = Metric(
    "framepack_job_seconds", "histogram", "Time from the last start of a job to its end", ("operation",)
)
_WAIT: Final = Metric(
    "framepack_job_wait_seconds", "histogram", "Time from the submission of a job to its first start", ("lane",)
)
_FRAMES: Final = Metric("framepack_frames_total", "counter", "Output frames", ("operation",))
_RATE: Final = Metric("framepack_frames_per_second", "gauge", "Speed of the last job with frames", ("operation",))
_REQUESTS: Final = Metric("framepack_requests_total", "counter", "HTTP responses", ("method", "status"))
_CALLBACKS: Final = Metric(
    "framepack_callbacks_total", "counter", "Callbacks delivered, attempts failed, callbacks exhausted", ("event",)
)

METRICS: Final = (
    Metric(
        "framepack_ready", "gauge", "1 if the server can run jobs, as GET /ready says; else 0", (),
        _one(lambda observed: observed.is_ready()),
    ),
    Metric(
        "framepack_worker_ready", "gauge", "1 if the worker of the lane can run jobs, else 0", ("lane",),
        _by_lane(lambda backend: backend.readiness is Readiness.READY),
    ),
    Metric(
        "framepack_worker_restarts_total", "counter", "Worker processes that replaced one that had ended", ("lane",),
        _by_lane(lambda backend: backend.restarts),
    ),
    Metric("framepack_jobs_queued", "gauge", "Waiting jobs", (), _one(lambda observed: observed.jobs.queued)),
    Metric("framepack_jobs_running", "gauge", "Running jobs", (), _one(lambda observed: observed.jobs.running)),
    Metric(
        "framepack_jobs_oldest_queued_seconds", "gauge", "Age of the oldest waiting job; 0 if none waits", (),
        _one(lambda observed: observed.jobs.oldest_queued_seconds),
    ),
    _WAIT,
    _SECONDS,
    _JOBS,
    _ERRORS,
    _FRAMES,
    _RATE,
    _REQUESTS,
    _CALLBACKS,
    Metric(
        "framepack_callbacks_pending", "gauge", "Callbacks to deliver", (),
        _one(lambda observed: observed.deliverer.pending),
    ),
    Metric(
        "framepack_callbacks_oldest_seconds", "gauge", "Age of the oldest of them", (),
        _one(lambda observed: observed.deliverer.oldest_seconds),
    ),
    Metric(
        "framepack_worker_model_loads", "gauge", f"Model loads since the worker has started, {_REPORTED}", (),
        _reported("model_loads"),
    ),
    Metric(
        "framepack_worker_models_loaded", "gauge", f"Models in the worker's memory, {_REPORTED}", (),
        _reported("models_loaded"),
    ),
    Metric(
        "framepack_worker_memory_bytes", "gauge", f"Memory of the worker process, {_REPORTED}", (),
        _reported("memory_bytes"),
    ),
    Metric(
        "framepack_gpu_memory_used_bytes", "gauge",
        f"Memory of the GPU that all processes use, {_REPORTED}; missing without a GPU", (),
        _reported("gpu_used_bytes"),
    ),
    Metric(
        "framepack_gpu_memory_bytes", "gauge", "Memory of the GPU in all; missing without a GPU", (),
        _reported("gpu_total_bytes"),
    ),
    Metric(
        "framepack_temp_free_bytes", "gauge", "Free space on the disk of `FRAMEPACK_TEMP_DIR`", (), _free_bytes,
    ),
)  # fmt: skip
"""All metrics of ours, in the order of the documentation. The process's own come from the Prometheus client."""


class Metrics:
    """Counts jobs and responses. Each instance has a registry of its own, so that a process may have several.

    Args:
        observed: What metrics with ``read`` are computed from.
    """

    def __init__(self, observed: Observed) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter, gauge = partial(_made, Counter, self.registry), partial(_made, Gauge, self.registry)
        histogram = partial(_made, partial(Histogram, buckets=_BUCKETS), self.registry)
        self._jobs: Counter = counter(_JOBS)
        self._errors: Counter = counter(_ERRORS)
        self._seconds: Histogram = histogram(_SECONDS)
        self._wait: Histogram = histogram(_WAIT)
        self._frames: Counter = counter(_FRAMES)
        self._rate: Gauge = gauge(_RATE)
        self._requests: Counter = counter(_REQUESTS)
        self._callbacks: Counter = counter(_CALLBACKS)
        self.registry.register(_Computed(observed))

    def count_response(self, method: str, status: int) -> None:
        """Count an HTTP response. All non-standard methods count as ``other``."""
        self._requests.labels(method if method in _METHODS else _OTHER, str(status)).inc()

    def count_callback(self, event: Event) -> None:
        """Count what has happened to a callback."""
        self._callbacks.labels(event).inc()

    def count_start(self, record: JobRecord, lane: str) -> None:
        """Count a job that has started for the first time."""
        if record.started is not None:
            self._wait.labels(lane).observe((record.started - record.created).total_seconds())

    def count_end(self, record: JobRecord) -> None:
        """Count a job that has ended."""
        self._jobs.labels(record.operation, record.state).inc()
        if record.state is State.FAILED:
            self._errors.labels(record.operation, record.code if record.code in _CODES else _OTHER).inc()
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


@dataclass(frozen=True, slots=True, eq=False)  # the registry hashes it
class _Computed:
    """The metrics with ``read``, as a collector of the Prometheus client."""

    observed: Observed

    def collect(self) -> Iterator[Any]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for metric in METRICS:
            if metric.read is not None:
                family = families[metric.kind](metric.name, metric.description, labels=metric.labels)
                for labels, value in metric.read(self.observed).items():
                    family.add_metric(labels, value)
                yield family


def _made(kind: Callable[..., Any], registry: Any, metric: Metric) -> Any:
    """A metric of the Prometheus client, as declared."""
    return kind(metric.name, metric.description, metric.labels, registry=registry)
