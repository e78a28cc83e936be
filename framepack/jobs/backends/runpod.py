"""Runs jobs at a RunPod endpoint: sends, polls and cancels them with the SDK's client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framepack.errors import (
    Cancelled,
    DiskFull,
    FramepackError,
    SourceFailed,
    StorageFailed,
    TooLarge,
    Unavailable,
)
from framepack.files.source import Source
from framepack.files.workspace import Workspace
from framepack.jobs.backends.base import STOPPING, NotReady, Readiness, WorkerLost, WorkItem
from framepack.storage.uploads import keep_upload

if TYPE_CHECKING:
    from runpod.endpoint.runner import RunPodClient

    from framepack.answer import Answer
    from framepack.storage.base import Storage

log = logging.getLogger("framepack.rest")

FitRequest = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes a job's fields fit into RunPod's request limit; raises TooLarge if they cannot."""

MAX_INPUT_BYTES: Final = 9_900_000  # RunPod's limit is 10 MB for the whole request

_POLL_SECONDS: Final = 1.0
_MAX_POLL_SECONDS: Final = 30.0  # while the platform does not answer
_MAX_PROBE_SECONDS: Final = 60.0
_MAX_FAILURES: Final = 3  # in a row, until the platform counts as unreachable
_QUERY_SECONDS: Final = 300.0
_THREADS: Final = 16
_NOT_FOUND: Final = 404
_REFUSALS: Final = frozenset({402, 403})
_INVALID_JOB: Final = frozenset({400, 413, 422})
_TOO_MANY_REQUESTS: Final = 429
_LONGEST_SENTENCE: Final = 500


class _NoAnswer(Unavailable):
    """The platform did not answer the request as it should, for a reason that is not the job's.

    Attributes:
        is_certain: Whether repeating the request cannot help, until somebody corrects the deployment.
        is_busy: Whether the platform answered that there were too many requests.
    """

    def __init__(self, sentence: str, *, is_certain: bool = False, is_busy: bool = False) -> None:
        super().__init__(sentence)
        self.is_certain = is_certain
        self.is_busy = is_busy


class RunpodBackend:
    """Sends jobs to one endpoint. A job that was sent before is polled, not sent again.

    Args:
        endpoint_id: Id of the endpoint.
        api_key: API key of the account that owns the endpoint.
        fit_request: Makes a job's fields fit into the platform's request limit.
        poll_seconds: Time between two status requests for a job.
    """

    slots = 64

    def __init__(
        self, endpoint_id: str, api_key: str, fit_request: FitRequest, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        self._endpoint_id = endpoint_id
        self._api_key = api_key
        self._fit_request = fit_request
        self._poll_seconds = poll_seconds
        # Threads of its own: requests to a platform that does not respond must not delay access to the store.
        self._threads = ThreadPoolExecutor(_THREADS, "runpod")
        self.statistics: dict[str, Any] = {}
        self.device: dict[str, Any] | None = None  # every worker of the platform writes it to its own log
        self.problem: str | None = None
        self.restarts = 0
        self._readiness = Readiness.STARTING
        self._is_ready = asyncio.Event()
        self._failures = 0
        self._probing: asyncio.Task[None] | None = None

    @property
    def readiness(self) -> Readiness:
        """Whether the platform answers and accepts the API key. It starts workers when there are jobs."""
        return self._readiness

    async def wait_until_ready(self) -> None:
        """Return as soon as the platform answers."""
        await self._is_ready.wait()

    async def start(self) -> None:
        """Ask the platform whether the endpoint exists; returns before it has answered."""
        self._probing = asyncio.create_task(self._probe())

    async def stop(self) -> None:
        """Stop asking. Jobs continue at the platform, and the next server polls them."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe(self) -> None:
        """Ask for the state of the endpoint until the platform answers, after a growing pause."""
        pause = self._poll_seconds
        while True:
            try:
                await self._call("get", "health")
            except _NoAnswer as error:
                self._set_broken(error)
            except FramepackError as error:
                log.warning("RunPod does not show the state of the endpoint: %s", error.message)
                return
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PROBE_SECONDS)

    def _note(self, error: _NoAnswer | None) -> None:
        """Note the outcome of a request, which decides whether the platform counts as reachable."""
        if error is None:
            self._failures, self._readiness, self.problem = 0, Readiness.READY, None
            self._is_ready.set()
            return
        self._failures += int(not error.is_busy)
        if error.is_certain or self._failures >= _MAX_FAILURES:
            self._set_broken(error)
            if self._probing is None or self._probing.done():
                self._probing = asyncio.create_task(self._probe())

    def _set_broken(self, error: _NoAnswer) -> None:
        if self._readiness is not Readiness.BROKEN:
            log.warning("jobs wait: %s", error.message)
        self._readiness, self.problem = Readiness.BROKEN, error.message
        self._is_ready.clear()

    async def run(self, item: WorkItem) -> Answer:
        """Send a job, unless it was sent before, and poll it until it ends; see `Backend.run`."""
        remote_id = item.remote_id
        if remote_id is None:
            try:
                fields = await asyncio.to_thread(lambda: self._fit_request(item.read_fields()))
            except (StorageFailed, DiskFull) as error:
                raise NotReady(error.message) from error
            remote_id = await self._send(item, {"input": {"endpoint": item.operation, **fields}})
        try:
            return await self._poll_until_end(remote_id, item.on_progress)
        except WorkerLost as error:  # the platform also forgets the jobs of a server that was away for long
            raise WorkerLost(suspects=int(item.remote_id is None)) from error

    async def query(self, operation: str, fields: dict[str, Any]) -> Answer:
        """Run a short operation on any worker; see `Backend.query`."""
        sent = await self._call("post", "run", {"input": {"endpoint": operation, **fields}})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_QUERY_SECONDS) as limit:
                answer = await self._poll_until_end(str(sent["id"]), lambda _update: None)
        if limit.expired():
            raise Unavailable("No worker answered in time; try again later.")
        return answer

    async def _send(self, item: WorkItem, body: dict[str, Any]) -> str:
        """Send a job and return its id at the platform.

        Raises:
            NotReady: the platform has not confirmed it, for a reason that is not the job's. If only the confirmation
                was lost, the job runs twice.
            SourceFailed: the platform refused this job.
        """
        sending = asyncio.ensure_future(self._send_once(item, body))
        try:
            return await asyncio.shield(sending)
        except _NoAnswer as error:
            raise NotReady(error.message) from error
        except asyncio.CancelledError as error:  # the request may be accepted right now: wait for its response
            with contextlib.suppress(FramepackError):
                remote_id = await sending
                if STOPPING not in error.args:
                    await self._cancel(remote_id)
            raise

    async def _send_once(self, item: WorkItem, body: dict[str, Any]) -> str:
        """Send a job and record its id at the platform, so that the next server finds it."""
        remote_id = str((await self._call("post", "run", body))["id"])
        try:
            await item.on_sent(remote_id)
        except FramepackError:  # only matters if this server stops before the job ends
            log.warning("job %s: its id at RunPod could not be stored", item.id)
        return remote_id

    async def _cancel(self, remote_id: str) -> None:
        try:
            await self._call("post", f"cancel/{remote_id}", {})
        except (FramepackError, WorkerLost):
            log.warning("RunPod job %s could not be cancelled", remote_id)

    async def _poll_until_end(self, remote_id: str, on_progress: Callable[[dict[str, Any]], None]) -> Answer:
        """Poll a job until it ends, however long the platform does not answer.

        Raises:
            WorkerLost: the platform no longer knows the job.
            FramepackError: it ended, and the platform has no answer of a worker.
        """
        try:
            while True:
                status = await self._status(remote_id)
                if status.get("status") == "IN_PROGRESS":
                    if isinstance(status.get("output"), dict):
                        on_progress(status["output"])
                elif (answer := _final_answer(status)) is not None:
                    return answer
                await asyncio.sleep(self._poll_seconds)
        except asyncio.CancelledError as error:
            if STOPPING not in error.args:
                await self._cancel(remote_id)
            raise

    async def _status(self, remote_id: str) -> dict[str, Any]:
        """The status of a job; asks until the platform answers."""
        pause = self._poll_seconds
        while True:
            try:
                return await self._call("get", f"status/{remote_id}")
            except FramepackError as error:
                log.debug("RunPod job %s could not be polled: %s", remote_id, error.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_POLL_SECONDS)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request to the platform's API.

        Raises:
            WorkerLost: the platform knows the endpoint, but no longer the job.
            Unavailable: the platform could not be reached, or the API key or the endpoint is wrong.
            SourceFailed: the platform refused this job.
        """
        arguments = [f"{self._endpoint_id}/{path}", *([] if body is None else [body])]
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._threads, lambda: getattr(self._client, method)(*arguments))
            checked = _checked(answer, path)
        except (RuntimeError, OSError, ValueError) as error:  # exceptions of requests are OSErrors
            known = _translated(error, path)
            if isinstance(known, _NoAnswer):
                self._note(known)
            elif isinstance(known, WorkerLost):
                await self._call("get", "health")  # raises if the endpoint is unknown, too
            raise known from error
        self._note(None)
        return checked

    @cached_property
    def _client(self) -> RunPodClient:
        from runpod.endpoint.runner import RunPodClient

        return RunPodClient(self._api_key)


def fit_request(fields: dict[str, Any], storage: Storage | None, temp_dir: Path, max_bytes: int) -> dict[str, Any]:
    """Make a job's fields fit into RunPod's request limit, by replacing inline files with URLs if necessary.

    Args:
        fields: The job's fields.
        storage: A store that the workers can reach, for the files; None if there is none.
        temp_dir: Folder for the decoded files.
        max_bytes: Maximum size of a file.

    Raises:
        TooLarge: the fields cannot be made to fit.
        InvalidSource: an inline file is not valid base64.
    """
    if _fits(fields):
        return fields
    if storage is not None:
        with Workspace(temp_dir) as workspace:
            fields = _with_urls(fields, storage, workspace, max_bytes)
    if not _fits(fields):
        raise TooLarge("RunPod accepts inline files of up to 7 MB in total: use a URL for larger files.")
    return fields


def _fits(fields: dict[str, Any]) -> bool:
    is_long = any(isinstance(each, str) and len(each) > MAX_INPUT_BYTES for each in fields.values())
    return not is_long and len(json.dumps(fields)) <= MAX_INPUT_BYTES  # writing JSON is slow, so it comes second


def _with_urls(value: Any, storage: Storage, workspace: Workspace, max_bytes: int) -> Any:
    """``value`` with a ``NAME_url`` in place of every ``NAME_base64``, at any depth."""
    if isinstance(value, list):
        return [_with_urls(each, storage, workspace, max_bytes) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, each in value.items():
        if name.endswith("_base64") and isinstance(each, str):
            source = Source.from_base64(each, workspace, max_bytes)
            url = storage.url(keep_upload(storage, source.path, source.filename))
            found[f"{name.removesuffix('_base64')}_url"] = url
        else:
            found[name] = _with_urls(each, storage, workspace, max_bytes)
    return found


def _checked(answer: object, path: str) -> dict[str, Any]:
    if not isinstance(answer, dict) or (path == "run" and "id" not in answer):
        raise ValueError("the response is not the documented one")
    return answer


def _translated(error: Exception, path: str) -> Exception:
    """Our exception for a failed request."""
    if isinstance(error, RuntimeError):  # what the SDK raises for status 401
        return _NoAnswer("RunPod refused the server's API key.", is_certain=True)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == _NOT_FOUND and path not in {"run", "health"}:
        return WorkerLost()
    if status in _INVALID_JOB:
        return SourceFailed(f"RunPod refused the job (HTTP {status}).")
    return _no_answer(error, status)


def _no_answer(error: Exception, status: int | None) -> _NoAnswer:
    if status == _NOT_FOUND:
        return _NoAnswer("RunPod has no such endpoint.", is_certain=True)
    if status in _REFUSALS:
        return _NoAnswer(f"RunPod refused the server's request (HTTP {status}).", is_certain=True)
    if status == _TOO_MANY_REQUESTS:
        return _NoAnswer("RunPod answered that there were too many requests.", is_busy=True)
    if isinstance(error, ValueError) or status is not None:
        return _NoAnswer("RunPod sent an invalid response.")
    return _NoAnswer("RunPod could not be reached.")


def _final_answer(status: dict[str, Any]) -> Answer | None:
    """The answer of a job that has ended; None if it has not.

    Raises:
        FramepackError: the platform has no answer of a worker, so nobody knows whether one has reported the end.
    """
    state, output = status.get("status"), status.get("output")
    if state == "COMPLETED":
        if isinstance(output, dict) and output:
            return output
        raise SourceFailed("The worker's result was lost.")
    if state == "FAILED":
        return _envelope(status.get("error"), output if isinstance(output, dict) else {})
    if state not in {"CANCELLED", "TIMED_OUT"}:
        return None
    reason = "was cancelled at RunPod" if state == "CANCELLED" else "exceeded the execution timeout of its endpoint"
    raise Cancelled(f"The job {reason}.")


def _envelope(error: object, details: dict[str, Any]) -> Answer:
    """The error envelope of a failed job.

    Only our handler's errors have a code and a status. All others come from the platform or from a crashing worker
    and may contain secrets, such as in a traceback, so only a single sentence is passed on.
    """
    sentence = error if isinstance(error, str) else ""
    if isinstance(details.get("code"), str) and isinstance(details.get("status"), int):
        return {"error": sentence, "code": details["code"], "status": details["status"]}
    is_sentence = 0 < len(sentence) <= _LONGEST_SENTENCE and not set("{\n") & set(sentence)
    raise SourceFailed(sentence if is_sentence else "The worker ended without an answer.")
