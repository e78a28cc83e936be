"""The start of ``framepack serve``: the port first, then the store, both with a sentence when they fail."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import requests

from framepack.errors import Unavailable
from framepack.rest.serve import _listen, _own_url
from tests.support.control_plane import ROOT
from tests.support.locked_out import as_ordinary_user
from tests.support.rest_server import RestServer, eventually, free_port
from tests.support.s3_server import s3_server


def serve(server: RestServer, *arguments: str, ordinary: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a server that ends by itself."""
    command = [*(as_ordinary_user() if ordinary else []), sys.executable, "-m", "framepack", "serve", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_port_in_use_is_noticed_before_the_store_is_touched(tmp_path: Path) -> None:
    """The message names the port and the option. Jobs of the server on that port are not touched."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = serve(RestServer(tmp_path), "--port", str(port))

    assert result.returncode == 1
    assert (
        f"The server cannot listen on port {port} of 127.0.0.1: it is in use. Choose another port with --port."
        in (result.stderr)
    )
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "outputs").exists()


def test_listening_on_a_foreign_address_fails_with_the_reason() -> None:
    """The message has the reason of the operating system."""
    with pytest.raises(Unavailable, match=r"port 0 of 192\.0\.2\.1: cannot assign requested address\. Check --host"):
        _listen("192.0.2.1", 0)


def test_a_store_folder_that_cannot_be_written_ends_the_server(tmp_path: Path) -> None:
    """Waiting would not help. The message has the folder, the user and a remedy."""
    server = RestServer(tmp_path)
    server.outputs.mkdir()
    server.outputs.chmod(0o555)

    result = serve(server, "--port", str(free_port()), ordinary=True)

    assert result.returncode == 1
    assert (
        f"The store file:{server.outputs} (FRAMEPACK_STORAGE) cannot be written: uid {os.geteuid()} " in result.stderr
    )
    assert "Traceback" not in result.stderr


def test_a_server_with_an_unusable_bucket_runs_and_reports_it_in_health(tmp_path: Path) -> None:
    """The bucket may become usable later."""
    with s3_server(tmp_path) as s3:
        bucket = s3.make_bucket()
        server = RestServer(tmp_path, storage=f"s3://{bucket}/x")
        server.environment |= {
            "BUCKET_ENDPOINT_URL": s3.endpoint_url,
            "BUCKET_ACCESS_KEY_ID": s3.access_key,
            "BUCKET_SECRET_ACCESS_KEY": "wrong-secret-key",
        }
        server.start(ready=False)
        try:
            assert eventually(lambda: server.answers({503}))
            health = server.get("/health").json()
            assert f"The store s3://{bucket}/x (FRAMEPACK_STORAGE) cannot be used" in health["problem"]
            assert "BUCKET_SECRET_ACCESS_KEY" in health["problem"]
        finally:
            server.stop()


def test_port_0_listens_on_a_free_port_and_logs_it(tmp_path: Path) -> None:
    """Links start with this port. Listening on all addresses without a public URL causes a warning."""
    server = RestServer(tmp_path)
    command = [sys.executable, "-m", "framepack", "serve", "--host", "0.0.0.0", "--port", "0"]  # noqa: S104
    with server.log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=server.environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        assert eventually(lambda: "starts with http://127.0.0.1:" in server.log)
        server.url = server.log.partition("starts with ")[2].partition(",")[0]
        assert eventually(lambda: requests.get(f"{server.url}/ping", timeout=30).status_code == 200)
        assert "set FRAMEPACK_PUBLIC_URL to the address that clients use" in server.log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("a.example", "http://a.example:80")],
)
def test_links_begin_with_the_address_listened_on(host: str, url: str) -> None:
    """An IPv6 address is in brackets."""
    assert _own_url(host, 80) == url


def test_what_is_loaded_at_the_start_is_never_searched_for_garbage(tmp_path: Path) -> None:
    """Such a search stops all answers for a tenth of a second; what requests make is still searched."""
    code = """
        import gc
        from framepack.rest import serve
        from framepack.settings import load_settings

        serve.DrainingServer.run = lambda *_: print(gc.get_freeze_count(), len(gc.get_objects()), gc.isenabled())
        serve.serve(load_settings(), "127.0.0.1", 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=RestServer(tmp_path).environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    frozen, searched, is_enabled = result.stdout.split()
    assert int(frozen) > 100 * int(searched)
    assert is_enabled == "True"
