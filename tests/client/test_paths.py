"""What a user gives can never become the path of another route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framepack.client import ApiError, AsyncClient, Client, ClientError
from framepack.client.generated import routes
from framepack.client.runner import Route
from tests.client.conftest import HASTY
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import KEY

UNSAFE = [".", "..", "", "a/b", "/", "../jobs", None, "half a pair \ud800"]
"""HTTPX resolves dots, servers decode slashes, and proxies do both."""
ROUTES = {name: route for name, route in vars(routes).items() if isinstance(route, Route) and route.path_fields}


@pytest.mark.parametrize("value", UNSAFE)
def test_a_name_that_is_a_part_of_another_path_is_not_sent(value: str) -> None:
    """In every field of every path, and as the id of a job; nothing reaches the server."""
    with HttpServer(lambda _: Answer(body=b"{}")) as server, Client(server.url, timing=HASTY) as client:
        for name, route in ROUTES.items():
            for wrong in route.path_fields:
                fields: dict[str, Any] = {**dict.fromkeys(route.path_fields, "fine"), wrong: value}
                with pytest.raises(ClientError, match=rf"^{wrong} "):
                    getattr(client, name.lower())(**fields)
        job = client.job(value)
        calls: list[Callable[[], Any]] = [job.view, job.cancel, job.result, lambda: list(job.follow())]
        for call in calls:
            with pytest.raises(ClientError, match=r"^job_id "):
                call()
        with pytest.raises(ClientError, match=r"^frame "):
            asyncio.run(AsyncClient(server.url).delete_frame(folder="fine", frame=value))
    assert len(ROUTES) > 5
    assert server.requests == []


@pytest.mark.parametrize(
    "value", ["%2e", "%2E%2E", "...", ".a", "a%2Fb", "a?b", "a#b", "a;b", "a b", "ü\u2028", "\\"]
)
def test_any_other_name_stays_one_segment(value: str) -> None:
    """Read as a server reads it."""
    with HttpServer(lambda _: Answer(404, b"{}")) as server, Client(server.url, timing=HASTY) as client:
        with pytest.raises(ApiError):
            client.delete_frame(folder=value, frame="a.png")
    assert [each.path.count("/") for each in server.requests] == [3]


def test_a_folder_outlives_the_deletion_of_a_frame_without_a_name(client: Client, clip: Path) -> None:
    """The server has refused such names before, but HTTPX made another path of them."""
    folder = client.extract_frames(video=clip, extraction_rate=4).folder_name
    for frame in (".", "..", "", "%2e"):
        with pytest.raises(ClientError):
            client.delete_frame(folder=folder, frame=frame)
    assert len(client.list_frames(folder=folder).frames) == 3


@pytest.mark.parametrize(
    "address",
    [
        "/frames/clip",
        "/jobs/1",
        "/outputs/../jobs/1",
        "/outputs/%2e%2E/jobs/1",
        "outputs/a.mp4",
        "",
        "https://a.invalid/outputs/a.mp4",
    ],
)
def test_only_files_of_the_server_are_deleted(address: str, tmp_path: Path) -> None:
    """A folder of frames and a job have methods of their own; a download does not follow dots either."""
    with HttpServer(lambda _: Answer(body=b"{}")) as server, Client(server.url, KEY, timing=HASTY) as client:
        with pytest.raises(ClientError, match=r"is not a file of http|leads to another"):
            client.delete(address)
        if ".." in address.lower().replace("%2e", "."):
            with pytest.raises(ClientError, match="leads to another"):
                client.download(server.url + address, tmp_path / "a.mp4")
        client.delete("/outputs/clip..1/a.mp4")
        client.delete(f"{server.url}/outputs/a.mp4?exp=1")
    assert [each.path for each in server.requests] == ["/outputs/clip..1/a.mp4", "/outputs/a.mp4"]
