"""Opens a page in the browser of the person who started the server."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import PurePath
from typing import Final

_TEXT_BROWSERS: Final = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})
"""They would take over the terminal, where the log is."""


def open_in_browser(address: str) -> None:
    """Open an address in a browser with a window, if there is one; return immediately."""
    threading.Thread(target=_open, args=(address,), name="browser", daemon=True).start()


def _open(address: str) -> None:
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if PurePath(getattr(browser, "name", "")).name not in _TEXT_BROWSERS:
        browser.open(address)
