"""What every backend can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from framepack.answer import Answer

STOPPING: Final = "stopping"
"""The message with which `Backend.run` is cancelled when the server stops, but the job is to go on."""


LARGEST_ANSWER_BYTES: Final = 1 << 29
"""Of a worker process: larger ones come without their inline files, which can be downloaded."""


class WorkerLost(Exception):
    """The worker ended in the middle of a job, which may be tried again."""


class Readiness(StrEnum):
    """Whether jobs can be carried out."""

    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Task:
    """One job as a backend gets it.

    Attributes:
        id: The job's id.
        operation: Name of the operation.
        fields: Reads from the store what the operation was given, for a backend that has to send it; blocks.
        remote_id: The platform's id, if it has been sent there before.
        on_progress: Called with each update: frames done and in all, percent, seconds left.
        on_sent: Awaited with the platform's id once it has been sent there.
    """

    id: str
    operation: str
    fields: Callable[[], dict[str, Any]]
    remote_id: str | None
    on_progress: Callable[[dict[str, Any]], None]
    on_sent: Callable[[str], Awaitable[None]]


class Backend(Protocol):
    """Carries out jobs.

    Attributes:
        slots: How many jobs it carries out at once.
        statistics: Figures of the worker's process, as far as known.
        device: Where its networks run, as `Health` shows it; None: not known.
        problem: Why it is broken, as the log says it; None: it is not, or nobody knows.
    """

    slots: int
    statistics: dict[str, Any]
    device: dict[str, Any] | None
    problem: str | None

    @property
    def readiness(self) -> Readiness:
        """Whether jobs can be carried out now."""
        ...

    async def start(self) -> None:
        """Begin getting ready, without waiting for it."""
        ...

    async def stop(self) -> None:
        """Let go of everything. Jobs under way here are lost (`WorkerLost`), those elsewhere go on."""
        ...

    async def run(self, task: Task) -> Answer:
        """Carry out a job and return what the worker answered, which has told the client's receiver of it.

        Cancelling the coroutine stops the job; with the message ``STOPPING`` a job that runs elsewhere is left alone.

        Raises:
            WorkerLost: the worker ended before the job did.
            FramepackError: no worker answered; the receiver has not been told.
        """
        ...

    async def ask(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Answer a short question about the worker's models and machine, beside whatever job is under way.

        Raises:
            WorkerLost: the worker ended before it answered.
            FramepackError: there is no worker that could answer.
        """
        ...
