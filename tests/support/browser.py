"""A real browser that opens a page: Chromium without a window, which reaches nothing but this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

_CHROMIUM: Final = shutil.which("chromium")

needs_browser = pytest.mark.skipif(_CHROMIUM is None, reason="there is no Chromium to open the page")


def opened(url: str, profile: Path, seconds: int = 20) -> str:
    """The HTML of a page after its scripts have run for ``seconds`` of the browser's clock, which skips waiting.

    Args:
        url: The page.
        profile: An empty folder for the browser's files.
        seconds: How long its scripts run, at most.
    """
    command = [
        str(_CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"),
        *("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", f"--virtual-time-budget={1000 * seconds}"),
        *("--autoplay-policy=no-user-gesture-required", "--dump-dom", url),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
