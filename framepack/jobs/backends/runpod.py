"""Runs jobs at a RunPod endpoint: sends, polls and cancels them with the SDK's client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import Answer, failure
from framepack.errors import Cancelled, FramepackError, SourceFailed, TooLarge, Unavailable
from framepack.files.source import Source
from framepack.files.workspace import Workspace
from framepack.jobs.backends.base import STOPPING, Readiness, WorkerLost, WorkItem
from framepack.storage.base import Storage
from framepack.storage.uploads import keep_upload

if TYPE_CHECKING:
    from runpod.endpoint.runner import RunPodClient

log = logging.getLogger("framepack.rest")

FitRequest = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes a job's fields fit into RunPod's request limit; raises TooLarge if they cannot."""

MAX_INPUT_BYTES: Final = 9_900_000  # RunPod's limit is 10 MB for the whole request

_POLL_SECONDS: Final = 1.0
_SEND_RETRY_SECONDS: Final = 120.0
_STATUS_RETRY_SECONDS: Final = 1800.0  # RunPod keeps results for as long
_QUERY_SECONDS: Final = 300.0
_THREADS: Final = 16
_NOT_FOUND: Final = 404
_TOO_MANY_REQUESTS: Final = 429
_LONGEST_SENTENCE: Final = 500


class _NotAccepted(SourceFailed):
    """The platform has not accepted the request, so it is safe to send it again."""


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

    @property
    def readiness(self) -> Readiness:
        """Always ready: the platform starts workers when there are jobs."""
        return Readiness.READY

    async def start(self) -> None:
        """Do nothing: there is nothing to start."""

    async def stop(self) -> None:
        """Do nothing: jobs continue at the platform, and the next server polls them."""

    async def run(self, item: WorkItem) -> Answer:
        """Send a job, unless it was sent before, and poll it until it ends; see `Backend.run`."""
        remote_id = item.remote_id
        if remote_id is None:
            fields = await asyncio.to_thread(lambda: self._fit_request(item.read_fields()))
            remote_id = await self._send(item, {"input": {"endpoint": item.operation, **fields}})
        return await self._poll_until_end(remote_id, item.on_progress)

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
        """Send a job and return its id at the platform; retries while the platform is unavailable."""
        deadline = time.monotonic() + _SEND_RETRY_SECONDS
        while True:
            sending = asyncio.ensure_future(self._send_once(item, body))
            try:
                return await asyncio.shield(sending)
            except _NotAccepted:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(self._poll_seconds)
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
        was_started = False
        try:
            while True:
                status = await self._status(remote_id)
                if status.get("status") == "IN_PROGRESS":
                    was_started = True
                    if isinstance(status.get("output"), dict):
                        on_progress(status["output"])
                elif (answer := _final_answer(status, was_started=was_started)) is not None:
                    return answer
                await asyncio.sleep(self._poll_seconds)
        except asyncio.CancelledError as error:
            if STOPPING in error.args:
                raise
            await self._cancel(remote_id)
            if not was_started:
                raise
            return failure(Cancelled("The job was cancelled."))  # the worker has sent the callback

    async def _status(self, remote_id: str) -> dict[str, Any]:
        """The status of a job; retries while the platform is unavailable."""
        deadline = time.monotonic() + _STATUS_RETRY_SECONDS
        while True:
            try:
                return await self._call("get", f"status/{remote_id}")
            except SourceFailed:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(self._poll_seconds)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request to the platform's API.

        Raises:
            WorkerLost: the platform no longer knows the job.
            Unavailable: the API key or the endpoint is wrong.
            SourceFailed: the platform could not be reached, or its response is invalid.
        """
        arguments = [f"{self._endpoint_id}/{path}", *([] if body is None else [body])]
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._threads, lambda: getattr(self._client, method)(*arguments))
        except RuntimeError as error:  # what the SDK raises for status 401
            raise Unavailable("RunPod refused the server's API key.") from error
        except (OSError, ValueError) as error:  # exceptions of requests are OSErrors
            raise _translated(error, path) from error
        if not isinstance(answer, dict) or (path == "run" and "id" not in answer):
            raise SourceFailed("RunPod sent an unexpected response.")
        return answer

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


def _translated(error: Exception, path: str) -> Exception:
    """Our exception for a failed request."""
    import requests
    from urllib3.exceptions import NewConnectionError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == _NOT_FOUND:
        return Unavailable("RunPod has no such endpoint.") if path == "run" else WorkerLost()
    reason = getattr(error.args[0], "reason", None) if error.args else None
    is_unconnected = isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)
    if status == _TOO_MANY_REQUESTS or is_unconnected:
        return _NotAccepted("RunPod could not be reached.")
    return SourceFailed("RunPod sent an invalid response or none.")


def _final_answer(status: dict[str, Any], *, was_started: bool) -> Answer | None:
    """The answer of a job that has ended; None if it has not.

    Raises:
        FramepackError: the job ended without a worker that could have sent its callback.
    """
    state, output = status.get("status"), status.get("output")
    if state == "COMPLETED":
        return output if isinstance(output, dict) else failure(SourceFailed("The worker's result was lost."))
    if state == "FAILED":
        return _envelope(status.get("error"), output if isinstance(output, dict) else {})
    if state not in {"CANCELLED", "TIMED_OUT"}:
        return None
    reason = "was cancelled at RunPod" if state == "CANCELLED" else "exceeded the execution timeout of its endpoint"
    ended = Cancelled(f"The job {reason}.")
    if not was_started:
        raise ended
    return failure(ended)


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
