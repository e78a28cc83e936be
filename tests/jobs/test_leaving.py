"""Clients that close the connection while they wait for their result."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.rest_server import KEY, HeldBackend, LocalServer, eventually, server_in_thread

LOOP = "/postprocess/loop"
CLIP = {"video_base64": "AAAA"}


@pytest.fixture
def backend() -> HeldBackend:
    """A backend that holds two jobs."""
    return HeldBackend(slots=2)


@pytest.fixture
def server(backend: HeldBackend, tmp_path: Path) -> Iterator[LocalServer]:
    """A server around it."""
    with server_in_thread(tmp_path, backend) as running:
        yield running


def sent(server: LocalServer, *headers: str) -> socket.socket:
    """Send a request, and do not read the answer."""
    body = json.dumps(CLIP)
    lines = [f"POST {LOOP} HTTP/1.1", "Host: x", f"X-API-Key: {KEY}", "Content-Type: application/json", *headers]
    connection = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    connection.sendall("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode())
    return connection


def only_job(backend: HeldBackend) -> str:
    """The id of the one job."""
    assert eventually(lambda: backend.held)
    (job_id,) = backend.held
    return job_id


def test_a_client_that_leaves_ends_its_job(server: LocalServer, backend: HeldBackend) -> None:
    """The job is cancelled, says why, and its place is free."""
    connection = sent(server)
    job_id = only_job(backend)
    connection.close()
    ended = server.wait_for(job_id)
    assert (ended["state"], ended["result"]["error"]) == (
        "cancelled",
        "The job was cancelled, because its client closed the connection.",
    )
    assert backend.cancelled == [job_id]


def test_a_client_with_a_key_may_come_back(server: LocalServer, backend: HeldBackend) -> None:
    """With an Idempotency-Key the job goes on, also for a second client that waits for it."""
    headers = {"Idempotency-Key": "k"}
    connection = sent(server, "Idempotency-Key: k")
    job_id = only_job(backend)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(server.post, LOOP, CLIP, headers=headers)
        connection.close()
        other = server.start_job(LOOP, CLIP)
        backend.wait_for(other).finish(success=True)
        server.wait_for(other)
        assert server.job(job_id)["state"] == "running"
        backend.held[job_id].finish(success=True, message="done")
        assert second.result().json()["message"] == "done"
    assert backend.cancelled == []


def test_a_pipelined_request_is_no_leaving(server: LocalServer, backend: HeldBackend) -> None:
    """A client that sends its next request early gets both answers."""
    connection = sent(server)
    job_id = only_job(backend)
    connection.sendall(f"GET /health HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n".encode())
    other = server.start_job(LOOP, CLIP)
    backend.wait_for(other).finish(success=True)
    server.wait_for(other)
    backend.held[job_id].finish(success=True, message="done")
    received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    connection.close()


def test_jobs_that_nobody_waits_for_go_on(server: LocalServer, backend: HeldBackend) -> None:
    """Whoever asked for an immediate response has left, and the job stays."""
    connection = sent(server, "Prefer: respond-async")
    job_id = only_job(backend)
    assert b"202 Accepted" in connection.recv(65_536)
    connection.close()
    other = server.start_job(LOOP, CLIP)
    backend.wait_for(other).finish(success=True)
    server.wait_for(other)
    assert server.job(job_id)["state"] == "running"
    backend.held[job_id].finish(success=True)
    assert server.wait_for(job_id)["state"] == "completed"
