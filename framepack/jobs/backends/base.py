"""The interface of backends, which run jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from framepack.answer import Answer

STOPPING: Final = "stopping"
"""Message of the cancellation when `Backend.run` is cancelled because the server stops, not by a client."""

LARGEST_ANSWER_BYTES: Final = 1 << 29
"""Maximum size of a worker process's answer. Larger answers lose their inline files, which the store has too."""


class WorkerLost(Exception):
    """The worker ended before the job did. The job is run again.

    Attributes:
        suspects: How many jobs the worker ran when it ended, any of which may be the reason; 0 if it is none of them.
    """

    def __init__(self, suspects: int = 1) -> None:
        super().__init__(suspects)
        self.suspects = suspects


class NotReady(Exception):
    """The job was not started, for a reason that is not its own. It stays in the queue.

    Attributes:
        reason: The reason, one sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
        problem: Why it is not ready; None if it is ready or the reason is unknown.
        restarts: How often its worker process was replaced after it had ended.
    """

    slots: int
    statistics: dict[str, Any]
    device: dict[str, Any] | None
    problem: str | None
    restarts: int

    @property
    def readiness(self) -> Readiness:
        """Whether it can run jobs now."""
        ...

    async def wait_until_ready(self) -> None:
        """Return as soon as it can run jobs."""
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
            NotReady: the job could not be started, for a reason that is not its own.
            FramepackError: no worker answered, for a reason of the job, so no callback was sent.
        """
        ...

    async def query(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Run a short operation on the worker's models and machine, such as ``system_status``, beside running jobs.

        Raises:
            WorkerLost: the worker ended before it answered.
            FramepackError: no worker can answer.
        """
        ...


def why_not_ready(backend: Backend) -> str | None:
    """Why a backend cannot run jobs now, as a sentence; None if it can."""
    if backend.readiness is Readiness.READY:
        return None
    if backend.readiness is Readiness.STARTING:
        return backend.problem or "The worker is starting."
    return backend.problem or "The worker could not be started; see the server's log."
