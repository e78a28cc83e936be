"""Jobs at a RunPod endpoint: sent, followed and cancelled with the SDK's own client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import Answer, failure
from framepack.errors import Cancelled, FramepackError, SourceFailed, Unavailable
from framepack.jobs.backends.base import STOPPING, Readiness, Task, WorkerLost

if TYPE_CHECKING:
    from runpod.endpoint.runner import RunPodClient

log = logging.getLogger("framepack.rest")

Fit = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes what a job was given small enough for the platform; raises TooLarge if that cannot be done."""

_POLL_SECONDS: Final = 1.0
_SEND_PATIENCE_SECONDS: Final = 120.0
_STATUS_PATIENCE_SECONDS: Final = 1800.0  # the platform forgets a result after as long
_ASK_SECONDS: Final = 300.0
_THREADS: Final = 16
_UNKNOWN: Final = 404
_BUSY: Final = 429
_LONGEST_SENTENCE: Final = 500


class _Away(SourceFailed):
    """The platform did not take the call; nothing has happened there, so it can be made again."""


class RunpodBackend:
    """Sends jobs to one endpoint; a job that was sent before is followed again, not sent twice.

    Args:
        endpoint_id: The endpoint.
        api_key: Key of the account that owns it.
        fit: Makes what a job was given small enough for the platform.
        poll_seconds: Time between two looks at a job.
    """

    slots = 64

    def __init__(self, endpoint_id: str, api_key: str, fit: Fit, poll_seconds: float = _POLL_SECONDS) -> None:
        self._endpoint_id = endpoint_id
        self._api_key = api_key
        self._fit = fit
        self._poll_seconds = poll_seconds
        # Threads of its own: a platform that does not answer must not hold up the store's.
        self._threads = ThreadPoolExecutor(_THREADS, "runpod")
        self.statistics: dict[str, Any] = {}
        self.device: dict[str, Any] | None = None  # each of the platform's workers says so in its own log
        self.problem: str | None = None

    @property
    def readiness(self) -> Readiness:
        """The platform starts workers when there are jobs, so it is always ready to take one."""
        return Readiness.READY

    async def start(self) -> None:
        """Nothing to get ready."""

    async def stop(self) -> None:
        """Nothing to let go of: jobs stay at the platform, and the next server follows them again."""

    async def run(self, task: Task) -> Answer:
        """Send a job, unless it was sent before, and follow it to its end; see `Backend.run`."""
        remote_id = task.remote_id
        if remote_id is None:
            fields = await asyncio.to_thread(lambda: self._fit(task.fields()))
            remote_id = await self._sent(task, {"input": {"endpoint": task.operation, **fields}})
        return await self._followed(remote_id, task.on_progress)

    async def ask(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Ask whichever worker takes the question; see `Backend.ask`."""
        sent = await self._call("post", "run", {"input": {"endpoint": operation, **fields}})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ASK_SECONDS) as limit:
                answer = await self._followed(str(sent["id"]), lambda _update: None)
        if limit.expired():
            raise Unavailable("No worker answered in time; try again later.")
        return answer

    async def _sent(self, task: Task, body: dict[str, Any]) -> str:
        """Hand a job to the platform and return its id there; patient with a platform that is away for a while."""
        deadline = time.monotonic() + _SEND_PATIENCE_SECONDS
        while True:
            sending = asyncio.ensure_future(self._handed_over(task, body))
            try:
                return await asyncio.shield(sending)
            except _Away:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(self._poll_seconds)
            except asyncio.CancelledError as error:  # the platform may have taken it a moment ago
                with contextlib.suppress(FramepackError):
                    remote_id = await sending
                    if STOPPING not in error.args:
                        await self._stopped(remote_id)
                raise

    async def _handed_over(self, task: Task, body: dict[str, Any]) -> str:
        """Hand a job to the platform once, and have its id there noted, where the next server finds it."""
        remote_id = str((await self._call("post", "run", body))["id"])
        try:
            await task.on_sent(remote_id)
        except FramepackError:  # the job goes on; only a restart would not find it again
            log.warning("job %s: its id at RunPod could not be kept", task.id)
        return remote_id

    async def _stopped(self, remote_id: str) -> None:
        try:
            await self._call("post", f"cancel/{remote_id}", {})
        except (FramepackError, WorkerLost):
            log.warning("RunPod job %s could not be cancelled", remote_id)

    async def _followed(self, remote_id: str, on_progress: Callable[[dict[str, Any]], None]) -> Answer:
        begun = False
        try:
            while True:
                status = await self._status(remote_id)
                if status.get("status") == "IN_PROGRESS":
                    begun = True
                    if isinstance(status.get("output"), dict):
                        on_progress(status["output"])
                elif (answer := _answer(status, begun=begun)) is not None:
                    return answer
                await asyncio.sleep(self._poll_seconds)
        except asyncio.CancelledError as error:
            if STOPPING in error.args:
                raise
            await self._stopped(remote_id)
            if not begun:
                raise
            return failure(Cancelled("The job was cancelled."))  # its worker has told the client's receiver

    async def _status(self, remote_id: str) -> dict[str, Any]:
        """How a job is; patient with a platform that is away for a while."""
        deadline = time.monotonic() + _STATUS_PATIENCE_SECONDS
        while True:
            try:
                return await self._call("get", f"status/{remote_id}")
            except SourceFailed:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(self._poll_seconds)

    async def _call(self, method: str, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call of the platform's API.

        Raises:
            WorkerLost: the platform does not know the job any more.
            Unavailable: it does not know our key or the endpoint.
            SourceFailed: it could not be reached, or answered badly.
        """
        arguments = [f"{self._endpoint_id}/{verb}", *([] if body is None else [body])]
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._threads, lambda: getattr(self._client, method)(*arguments))
        except RuntimeError as error:  # the SDK's way to tell of a 401
            raise Unavailable("RunPod refused the server's API key.") from error
        except (OSError, ValueError) as error:  # those of requests are OSErrors
            raise _translated(error, verb) from error
        if not isinstance(answer, dict) or (verb == "run" and "id" not in answer):
            raise SourceFailed("RunPod answered something unexpected.")
        return answer

    @cached_property
    def _client(self) -> RunPodClient:
        from runpod.endpoint.runner import RunPodClient

        return RunPodClient(self._api_key)


def _translated(error: Exception, verb: str) -> Exception:
    """What a failed call means for us."""
    import requests
    from urllib3.exceptions import NewConnectionError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == _UNKNOWN:
        return Unavailable("RunPod has no such endpoint.") if verb == "run" else WorkerLost()
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if status == _BUSY or isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return _Away("RunPod could not be reached.")
    return SourceFailed("RunPod did not answer properly.")


def _answer(status: dict[str, Any], *, begun: bool) -> Answer | None:
    """A job's answer or error envelope as its worker gave it; None while it is not over.

    Raises:
        FramepackError: the job ended without a worker that could have reported it to the client's receiver.
    """
    state, output = status.get("status"), status.get("output")
    if state == "COMPLETED":
        return output if isinstance(output, dict) else failure(SourceFailed("The worker's result was lost."))
    if state == "FAILED":
        return _envelope(status.get("error"), output if isinstance(output, dict) else {})
    if state not in {"CANCELLED", "TIMED_OUT"}:
        return None
    why = "was cancelled at RunPod" if state == "CANCELLED" else "ran out of the time that its endpoint allows"
    ended = Cancelled(f"The job {why}.")
    if not begun:
        raise ended
    return failure(ended)


def _envelope(error: object, details: dict[str, Any]) -> Answer:
    """The envelope of our handler; anything else came from the platform or a dying worker, perhaps with secrets."""
    sentence = error if isinstance(error, str) else ""
    if isinstance(details.get("code"), str) and isinstance(details.get("status"), int):
        return {"error": sentence, "code": details["code"], "status": details["status"]}
    is_sentence = 0 < len(sentence) <= _LONGEST_SENTENCE and not set("{\n") & set(sentence)
    raise SourceFailed(sentence if is_sentence else "The worker ended without an answer.")
