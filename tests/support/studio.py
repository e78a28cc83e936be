"""A real browser for tests of pages: Debian's Chromium, driven by Playwright, which reaches nothing but this machine.

Tests below ``tests/rest`` have the fixtures. The browser lives as long as a module: while it runs, Playwright has an
event loop in this thread, where other tests may want one of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright

from tests.support.rest_server import RestServer, tiny_weights

_CHROMIUM: Final = shutil.which("chromium")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
_OWN_SCHEMES: Final = frozenset({"blob", "data", "about"})

expect.set_options(timeout=30_000)  # for machines that do other things, too

needs_browser = pytest.mark.skipif(_CHROMIUM is None, reason="there is no Chromium to open pages")


@dataclass
class Tab:
    """A page that is watched.

    Attributes:
        page: Playwright's page.
        console: Errors in its console, such as responses with an error status.
        faults: What no test may cause: exceptions that nobody caught, what the Content-Security-Policy refused, and
            requests to other hosts.
        requests: Addresses of all requests, in order.
    """

    page: Page
    console: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._note_request(request.url))

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console.append(message.text)
            if "Content Security Policy" in message.text:
                self.faults.append(message.text)

    def _note_request(self, url: str) -> None:
        self.requests.append(url)
        address = urlsplit(url)
        if address.hostname != "127.0.0.1" and address.scheme not in _OWN_SCHEMES:
            self.faults.append(f"request to {url}")

    def wait_until(self, expression: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true; Playwright's own wait needs a policy that allows ``eval``."""
        ended = self.page.evaluate(
            f"""new Promise((done) => {{
              const end = performance.now() + {1000 * seconds};
              const look = () =>
                ({expression}) ? done(true) : performance.now() > end ? done(false) : setTimeout(look, 20);
              look();
            }})"""
        )
        assert ended, f"never true: {expression}"

    @property
    def accessibility_violations(self) -> str:
        """What axe-core finds wrong with the page as it is shown, one rule in a line; empty if nothing."""
        return str(Axe().run(self.page).generate_snapshot())


def launched(playwright: Playwright) -> Browser:
    """The browser, which whoever starts it closes."""
    return playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_FLAGS))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, for tests marked with `needs_browser`."""
    if _CHROMIUM is None:
        pytest.skip("there is no Chromium to open pages")
    with sync_playwright() as playwright:
        running = launched(playwright)
        yield running
        running.close()


@contextmanager
def opened_tab(browser: Browser, width: int = 1280, height: int = 800, **options: Any) -> Iterator[Tab]:
    """A tab with cookies and storage of its own, which fails the test if it has faults at the end.

    Args:
        browser: The browser.
        width: Of the window, in pixels.
        height: Of the window, in pixels.
        options: More arguments of `Browser.new_context`, such as ``color_scheme`` and ``has_touch``.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(30_000)
    try:
        tab = Tab(context.new_page())
        yield tab
        if tab.faults:
            pytest.fail("The page has faults:\n" + "\n".join(tab.faults))
    finally:
        context.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab of a desktop's size."""
    with opened_tab(browser) as tab:
        yield tab


@pytest.fixture(scope="module")
def studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """``framepack serve`` as a process with a worker, the key `rest_server.KEY` and the quick upscaler ``tiny``."""
    folder: Path = tmp_path_factory.mktemp("studio")
    tiny_weights(folder / "weights")
    with RestServer(folder) as server:
        yield server
