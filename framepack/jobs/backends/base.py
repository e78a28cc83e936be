"""The interface of backends, which run jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from framepack.answer import Answer

STOPPING: Final = "stopping"
"""Message of the cancellation when `Backend.run` is cancelled because the server stops, not by a client."""

LARGEST_ANSWER_BYTES: Final = 1 << 29
"""Maximum size of a worker process's answer. Larger answers lose their inline files, which the store has too."""


class WorkerLost(Exception):
    """The worker ended before the job did. The job may be retried."""


class Readiness(StrEnum):
    """Whether a backend can run jobs."""

    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A job as a backend gets it.

    Attributes:
        id: The job's id.
        operation: Name of the operation.
        read_fields: Reads the operation's fields from the store, for a backend that has to send them; blocks.
        remote_id: The job's id at the platform, if an earlier server has sent it there.
        on_progress: Called with each progress update, as `Progress.as_update` makes them.
        on_sent: Awaited with the job's id at the platform after it was sent there.
    """

    id: str
    operation: str
    read_fields: Callable[[], dict[str, Any]]
    remote_id: str | None
    on_progress: Callable[[dict[str, Any]], None]
    on_sent: Callable[[str], Awaitable[None]]


class Backend(Protocol):
    """Runs jobs.

    Attributes:
        slots: Number of jobs that it runs at once.
        statistics: Figures of the worker process, such as its memory, as far as known.
        device: The device for inference, as ``GET /health`` shows it; None if unknown.
        problem: Why it is broken; None if it is not broken or the reason is unknown.
    """

    slots: int
    statistics: dict[str, Any]
    device: dict[str, Any] | None
    problem: str | None

    @property
    def readiness(self) -> Readiness:
        """Whether it can run jobs now."""
        ...

    async def start(self) -> None:
        """Start to get ready; returns before it is."""
        ...

    async def stop(self) -> None:
        """Release everything. Local jobs end with `WorkerLost`; jobs at a platform continue."""
        ...

    async def run(self, item: WorkItem) -> Answer:
        """Run a job and return the worker's answer. The worker has sent the job's callback.

        Cancelling the coroutine cancels the job. With the message ``STOPPING``, a job at a platform continues.

        Raises:
            WorkerLost: the worker ended before the job did.
            FramepackError: no worker answered, so no callback was sent.
        """
        ...

    async def query(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Run a short operation on the worker's models and machine, such as ``system_status``, beside running jobs.

        Raises:
            WorkerLost: the worker ended before it answered.
            FramepackError: no worker can answer.
        """
        ...
