"""The browser of the tests sees what a page must not do, and leaves nothing behind."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.support.http_server import Answer, HttpServer
from tests.support.studio import Tab, needs_browser, opened_tab

pytestmark = needs_browser


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="http://example.com/a.png">', "request to http://example.com/a.png"),
        ("<script>document.title = 'run'</script>", "Content Security Policy"),
        ('<p style="color: red">', "Content Security Policy"),
        ('<script src="/wrong.js"></script>', "wrong is not defined"),
    ],
)
def test_a_tab_with_a_fault_fails_its_test(browser: Browser, body: str, fault: str) -> None:
    """Requests to other hosts, scripts and styles in the HTML, and exceptions."""
    page = Answer(
        200,
        f"<!doctype html>{body}".encode(),
        {"Content-Type": "text/html", "Content-Security-Policy": "script-src 'self'; style-src 'self'"},
    )
    script = Answer(200, b"wrong()", {"Content-Type": "text/javascript"})

    with (
        HttpServer({"/": page, "/wrong.js": script}) as server,
        pytest.raises(pytest.fail.Exception, match=fault),
        opened_tab(browser) as tab,
    ):
        tab.page.goto(server.url)


def test_a_tab_notes_errors_of_the_console_and_all_requests(tab: Tab) -> None:
    """A response with an error status is no fault by itself: many tests cause one."""
    page = Answer(200, b'<!doctype html><img src="/none.png">', {"Content-Type": "text/html"})

    with HttpServer({"/": page, "/favicon.ico": Answer(204)}) as server:
        tab.page.goto(server.url)

        assert tab.requests == [f"{server.url}/", f"{server.url}/none.png"]
        assert len(tab.console) == 1
        assert "404" in tab.console[0]


def test_a_tab_finds_what_axe_core_finds(tab: Tab) -> None:
    """A field without a name."""
    tab.page.set_content('<html lang="en"><title>A page</title><main><h1>A page</h1><input></main>')
    assert tab.accessibility_violations == "label (critical) : 1"

    tab.page.set_content('<html lang="en"><title>A page</title><main><h1>A page</h1><label>A <input></label></main>')
    assert tab.accessibility_violations == ""
