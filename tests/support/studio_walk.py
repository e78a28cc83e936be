"""The studio in a browser tab, used as a person uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Error, Locator, Page, Route, expect

from tests.support.rest_server import KEY, Client

if TYPE_CHECKING:
    from tests.support.studio import Tab

expect.set_options(timeout=30_000)  # for machines that do other things, too


@dataclass
class Studio:
    """The page of a server."""

    tab: Tab
    server: Client

    @property
    def page(self) -> Page:
        """Playwright's page."""
        return self.tab.page

    def open(self, end: str = f"#key={KEY}") -> None:
        """Open it, by default with the key in the address."""
        self.page.goto(f"{self.server.url}/{end}")
        expect(self.page.locator("#parts")).to_be_visible()

    def choose(self, clip: Path) -> None:
        """Choose a file, and wait until the server has analyzed it."""
        self.page.set_input_files("#file", clip)
        expect(self.page.locator(".clip .facts li").first).to_be_visible()

    def operation(self, name: str) -> None:
        """Choose the card of an operation, and wait for its settings."""
        card = self.page.locator("label.card", has=self.page.locator(f'input[value="{name}"]'))
        card.click()
        summary = card.get_attribute("title") or ""
        expect(self.page.locator("#settings .help").first).to_have_text(summary)

    def field(self, name: str) -> Locator:
        """A field of the settings."""
        return self.page.locator(f'[data-field="{name}"]')

    def set_number(self, name: str, value: float) -> None:
        """Type a number into a field."""
        self.field(name).locator('input[type="number"]').fill(str(value))

    def select(self, name: str, value: str) -> None:
        """Choose a value of a list."""
        self.field(name).locator("select").select_option(value)

    def run(self) -> str:
        """Run the operation; return the id of the job, which is in the address then."""
        before = self.page.url
        self.page.click("#run")
        self.tab.wait_until(f"location.hash.startsWith('#job=') && location.href !== {before!r}")
        return self.page.url.partition("#job=")[2]

    def error_of(self, name: str) -> Locator:
        """The error that is shown at a field."""
        return self.field(name).locator(".error")


@contextmanager
def held_back(page: Page, pattern: str) -> Iterator[list[Route]]:
    """Requests to addresses like ``pattern`` wait until the end of the block."""
    waiting: list[Route] = []
    page.route(pattern, lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright marks its handlers
    yield waiting
    page.unroute(pattern)
    for each in waiting:
        with suppress(Error):  # the page has given it up
            each.continue_()
            each.request.response()
    page.wait_for_timeout(200)  # for scripts that take the answers
