"""``framepack studio`` serves and opens the page in a browser."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.control_plane import ROOT
from tests.support.rest_server import KEY, RestServer, eventually


@pytest.mark.parametrize("keys", [KEY, ""])
def test_the_browser_gets_the_address_with_the_key_of_this_run_alone(tmp_path: Path, keys: str) -> None:
    """Keys of the settings are secrets that the page asks for; other users may see the arguments of the browser."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part\nmv {opened}.part {opened}\n')
    browser.chmod(0o755)
    server = RestServer(tmp_path, api_keys=keys)
    server.environment |= {"BROWSER": f"{browser} %s"}
    command = [sys.executable, "-m", "framepack", "studio", "--port", "0"]
    with server.log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=server.environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        assert eventually(opened.exists), server.log
        address = urlsplit(opened.read_text())
        page = requests.get(address.geturl(), timeout=30)
        health = requests.get(
            f"http://{address.netloc}/jobs", headers={"X-API-Key": address.fragment.removeprefix("key=")}, timeout=30
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    assert "FramePack studio" in page.text
    assert address.path == "/"
    assert (address.fragment == "") == bool(keys)
    assert health.status_code == (401 if keys else 200)
    assert KEY not in server.log


def test_a_server_without_a_browser_serves_all_the_same(tmp_path: Path) -> None:
    """Its log has the address."""
    server = RestServer(tmp_path)
    server.environment |= {"BROWSER": "", "PATH": str(tmp_path), "DISPLAY": ""}
    command = [sys.executable, "-m", "framepack", "studio", "--port", "0"]
    with server.log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=server.environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        assert eventually(lambda: "in a browser; it asks for the API key." in server.log), server.log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert "Traceback" not in server.log
