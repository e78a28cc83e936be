"""Every file of ``examples/`` does what it says, as it is, against real servers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from playwright.sync_api import sync_playwright
from standardwebhooks import Webhook

from framepack.media.read.probe import probe
from tests.examples.conftest import EXAMPLES, SECRET
from tests.support.client_side import ACCOUNT_KEY, ENDPOINT, Platform, before, working
from tests.support.control_plane import ROOT
from tests.support.http_server import Answer, HttpServer
from tests.support.node import needs_node, node
from tests.support.rest_server import KEY, RestServer, eventually, free_port, upload
from tests.support.studio import launched, needs_browser, opened_tab

NODE = shutil.which("node")
LOOP = "/postprocess/loop"


def test_every_example_is_listed_and_linked() -> None:
    """The folder's page has all of them, and the documentation leads to it."""
    files = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.is_file()} - {"README.md"}
    page = (EXAMPLES / "README.md").read_text()
    assert {line.split("](")[1].split(")")[0] for line in page.splitlines() if line.startswith("| [")} == files
    rest = (ROOT / "docs" / "rest.md").read_text()
    assert [name for name in files if f"../examples/{name}" not in rest] == []


@contextmanager
def receiving(*command: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """A receiver as a process: its address, and the file with what it prints."""
    port, printed = free_port(), folder / "printed.txt"
    with printed.open("wb") as output:
        environment = {**os.environ, "FRAMEPACK_WEBHOOK_SECRET": SECRET}
        process = subprocess.Popen([*command, str(port)], env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        assert eventually(lambda: answers(f"http://127.0.0.1:{port}")), printed.read_text()
        yield f"http://127.0.0.1:{port}", printed
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    """Whether something listens there."""
    try:
        requests.post(url, timeout=30)
    except requests.ConnectionError:
        return False
    return True


def signed(body: str, message_id: str = "msg_1", secret: str = SECRET) -> dict[str, str]:
    """The headers of a message, made by an independent library."""
    now = datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }


def delivered_to(url: str, server: RestServer) -> int:
    """How many callbacks this receiver has accepted, as the server sees it."""
    callbacks = server.get("/callbacks?state=delivered").json()["callbacks"]
    return sum(each["receiver"] == url for each in callbacks)


RECEIVERS = [
    pytest.param((sys.executable, "webhook_receiver.py"), id="Python"),
    pytest.param(
        (str(NODE), "webhook-receiver.mjs"), id="Node.js", marks=pytest.mark.skipif(NODE is None, reason="no Node.js")
    ),
]


@pytest.mark.parametrize("program", RECEIVERS)
def test_the_receivers_accept_the_servers_callbacks_and_nothing_else(
    program: tuple[str, str], server: RestServer, clip: Path, tmp_path: Path
) -> None:
    """Of a finished and of a failed job; forged, changed, old and repeated messages have no effect."""
    with receiving(program[0], str(EXAMPLES / program[1]), folder=tmp_path) as (url, printed):
        source = upload(server, clip.read_bytes()).json()["video_url"]
        for video_url in (source, "/outputs/uploads/nothing.mp4"):
            server.post(LOOP, {"video_url": video_url, "callback_url": f"{url}/hook"})
        assert eventually(lambda: len(printed.read_text().splitlines()) == 2), printed.read_text()
        assert eventually(lambda: delivered_to(url, server) == 2)

        body = json.dumps({"operation": "loop", "job_id": "j9", "success": True, "output_url": "https://example.com"})
        good = signed(body)
        wrong = [
            (body, signed(body, secret="whsec_b3RoZXI=")),
            (body.replace("j9", "j8"), good),
            (body, {**good, "webhook-id": "msg_2"}),
            (body, {**good, "webhook-timestamp": "1700000000"}),
            (body, {}),
        ]
        statuses = [requests.post(url, text, headers=headers, timeout=30).status_code for text, headers in wrong]
        several = {**good, "webhook-signature": f"v1,AAAA {good['webhook-signature']}"}
        accepted = [requests.post(url, body, headers=several, timeout=30).status_code for _ in range(2)]

    assert (statuses, accepted) == ([401] * 5, [204] * 2)
    finished, failed, last = sorted(
        printed.read_text().splitlines(), key=lambda line: ("j9" in line, "failed" in line)
    )
    assert f"{server.url}/outputs/" in finished
    assert "failed: The stored file does not exist." in failed
    assert last == "loop j9: https://example.com"


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
BROKEN = [
    b"",
    b"POST / HT",
    POST + b"1000\r\n\r\nabc",
    POST + b"-1\r\n\r\n",
    POST + b"abc\r\n\r\n",
    POST + b"9" * 5000 + b"\r\n\r\n",
    POST + b"30000000\r\n\r\nabc",
    POST + b"0\r\nwebhook-id: a\r\nwebhook-timestamp: " + b"9" * 5000 + b"\r\n\r\n",
    POST + b"0\r\nwebhook-id: a\r\nwebhook-timestamp: \xb2\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    b"GET / HTTP/1.1\r\n\r\n",
]
"""What a client may send before it hangs up."""


@pytest.mark.parametrize("program", RECEIVERS)
def test_the_receivers_outlive_every_client(program: tuple[str, str], tmp_path: Path) -> None:
    """Clients without a secret hang up anywhere; a signed message that cannot be handled comes again."""
    with receiving(program[0], str(EXAMPLES / program[1]), folder=tmp_path) as (url, printed):
        for content in BROKEN:
            for waits in (False, True):
                with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as connection:
                    connection.sendall(content)
                    if waits:
                        connection.shutdown(socket.SHUT_WR)
                        with suppress(ConnectionResetError):
                            while connection.recv(65536):
                                pass
        odd = {**signed("{}"), "webhook-signature": "v1,\xfc v1 v2,a"}
        statuses = [requests.post(url, "{}", headers=odd, timeout=30).status_code]
        with suppress(requests.ConnectionError):  # it may be answered before all of it is sent
            statuses.append(requests.post(url, bytes(25_000_000), timeout=20).status_code)
        assert printed.read_text() == ""
        statuses.append(requests.post(url, "[", headers=signed("["), timeout=30).status_code)
        body = json.dumps({"operation": "loop", "job_id": "j9", "success": False, "error": "no"})
        statuses.append(requests.post(url, body, headers=signed(body), timeout=30).status_code)

    assert [each for each in statuses if each != 413] == [401, 500, 204]
    assert printed.read_text().splitlines()[-1] == "loop j9 failed: no"


@needs_browser
def test_the_page_uploads_follows_and_shows_the_result(
    server: RestServer, other: HttpServer, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Chromium, from another origin; a wrong key is the server's own sentence."""
    other.answers = {
        "/": Answer(body=(EXAMPLES / "browser.html").read_bytes(), headers={"Content-Type": "text/html"})
    }
    with sync_playwright() as playwright, launched(playwright) as browser, opened_tab(browser) as tab:
        page = tab.page
        page.goto(other.url)
        page.get_by_label("Server").fill(server.url)
        page.get_by_label("Video").set_input_files(clip)
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Brighten").click()
        page.get_by_text("Invalid or missing API key").wait_for()
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Brighten").click()
        page.get_by_text("Filters applied successfully").wait_for()
        shown = str(page.locator("video").get_attribute("src"))

    assert shown.startswith(f"{server.url}/outputs/")
    assert len(requests.get(shown, timeout=30).content) > 1000


def run_script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The finished run of a shell script."""
    command = ["/bin/sh", str(EXAMPLES / name), *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@needs_curl
def test_a_form_is_sent_in_two_requests(server: RestServer, clip: Path, tmp_path: Path) -> None:
    """Numbers are text in forms, empty fields are not given, and errors are the server's own sentences."""
    given = {"FRAMEPACK_URL": server.url, "FRAMEPACK_KEY": KEY}
    done = run_script("form_upload.sh", str(clip), "brightness=20", "preset=", "contrast=1.5", **given)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "out.mp4").write_bytes(requests.get(json.loads(done.stdout)["output_url"], timeout=30).content)
    assert probe(tmp_path / "out.mp4").frame_count == 12

    wrong = run_script("form_upload.sh", str(clip), "brightness=500", **given)
    assert wrong.returncode != 0
    assert "brightness must be between -100 and 100" in wrong.stdout

    (tmp_path / "empty.mp4").touch()
    refused = run_script("form_upload.sh", str(tmp_path / "empty.mp4"), **given)
    assert refused.returncode != 0
    assert json.loads(refused.stdout)["detail"] == "The upload must have a non-empty file in the field 'file'."
    refused = run_script("form_upload.sh", str(clip), **given | {"FRAMEPACK_KEY": "another"})
    assert json.loads(refused.stdout)["detail"] == "Invalid or missing API key"


@needs_curl
def test_a_runpod_job_ends_with_a_callback(server: RestServer, clip: Path, tmp_path: Path) -> None:
    """The platform is a stand-in, the worker is ours; the platform's id is the callback's."""
    video_url = upload(server, clip.read_bytes()).json()["url"]
    with Platform() as platform, HttpServer(lambda _: Answer(200)) as receiver:
        worker = working(platform, tmp_path, before(platform, tmp_path, webhook_secret=SECRET))
        with worker:
            done = run_script(
                "runpod_callback.sh",
                video_url,
                f"{receiver.url}/hook",
                RUNPOD_ENDPOINT_BASE_URL=platform.client_url,
                RUNPOD_API_KEY=ACCOUNT_KEY,
                RUNPOD_ENDPOINT_ID=ENDPOINT,
                CALLBACK_TOKEN="token-4711",
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert eventually(lambda: receiver.requests)
    told = receiver.requests[0]
    body = json.loads(told.body)

    assert (body["operation"], body["success"]) == ("filters", True)
    assert body["job_id"] == json.loads(done.stdout)["id"]
    assert told.headers["Authorization"] == "Bearer token-4711"
    assert Webhook(SECRET).verify(told.body, dict(told.headers.items()))


DENO = """
import { createServer } from "node:http";
globalThis.Deno = {
  env: { get: (name) => process.env[name] },
  serve: (handler) => createServer(async (incoming, outgoing) => {
    const parts = [];
    for await (const part of incoming) parts.push(part);
    const request = new Request("http://127.0.0.1/", {
      method: incoming.method, headers: incoming.headers, body: Buffer.concat(parts),
    });
    const response = await handler(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(await response.text());
  }).listen(Number(process.argv[2]), "127.0.0.1"),
};
await import("./video-complete.js");
"""
TYPES = """
declare const Deno: {
  env: { get(name: string): string | undefined };
  serve(handler: (request: Request) => Promise<Response>): void;
};
"""


@needs_node
def test_the_edge_function_keeps_the_video_and_deletes_it_on_the_server(
    server: RestServer, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked by TypeScript, and runs in Node.js with what it uses of Deno; Supabase is a stand-in."""
    shutil.copy(EXAMPLES / "supabase" / "video-complete.ts", tmp_path)
    (tmp_path / "deno.d.ts").write_text(TYPES)
    (tmp_path / "deno.mjs").write_text(DENO)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = ("--strict", "--target", "es2022", "--module", "es2022", "--lib", "es2022,dom")
    compiled = node("tsc", *options, "video-complete.ts", "deno.d.ts", folder=tmp_path)
    assert compiled.returncode == 0, compiled.stdout

    with HttpServer(lambda _: Answer(200, b"{}")) as supabase:
        secrets = {
            "SUPABASE_URL": supabase.url,
            "SUPABASE_SERVICE_ROLE_KEY": "role-key",
            "CALLBACK_TOKEN": "token-4711",
            "FRAMEPACK_API_URL": server.url,
            "FRAMEPACK_API_KEY": KEY,
        }
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        with receiving(str(NODE), str(tmp_path / "deno.mjs"), folder=tmp_path) as (url, printed):
            token = {"callback_url": url, "callback_token": "token-4711"}
            source = upload(server, clip.read_bytes()).json()["video_url"]
            done = server.post(LOOP, {"video_url": source, **token}).json()["job_id"]
            assert eventually(lambda: server.job(done).get("callback", {}).get("state") == "delivered"), (
                printed.read_text()
            )
            failed = server.post(LOOP, {"video_url": "/outputs/uploads/nothing.mp4", **token}).json()["job_id"]
            assert eventually(lambda: server.job(failed).get("callback", {}).get("state") == "delivered")
            again = requests.post(url, "{}", headers={"Authorization": "Bearer another"}, timeout=30)

    result = server.job(done)["result"]
    stored, row, failed_row = supabase.requests
    assert (stored.method, stored.path) == ("POST", f"/storage/v1/object/videos/{done}/{result['output_filename']}")
    (tmp_path / "kept.mp4").write_bytes(stored.body)
    assert probe(tmp_path / "kept.mp4").frame_count == 24
    assert (row.method, row.path, row.query) == ("PATCH", "/rest/v1/videos", f"job_id=eq.{done}")
    assert (json.loads(row.body)["status"], json.loads(row.body)["metadata"]["num_loops"]) == ("completed", 1)
    assert json.loads(failed_row.body)["error"] == "The stored file does not exist."
    assert {each.headers["Authorization"] for each in supabase.requests} == {"Bearer role-key"}
    assert server.get(result["output_path"]).status_code == 404
    assert again.status_code == 401
