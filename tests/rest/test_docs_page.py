"""``/docs`` works without internet, is open, and asks for the API key itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from framepack.rest.docs_page import DOCS
from tests.support.rest_server import KEY, LocalServer
from tests.support.studio import Tab, needs_browser

FOREIGN = re.compile(r"""(?:https?:)?//[\w.-]+\.\w+""")


class Page(HTMLParser):
    """What a page loads (``src`` and ``href``), and the scripts that it contains."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.has_inline_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of a tag."""
        found = [value for name, value in attrs if name in {"src", "href"} and value]
        self.addresses += [each for each in found if not each.startswith("data:")]
        self.has_inline_script |= tag == "script" and not found


def test_everything_that_the_page_loads_comes_from_the_server_without_a_key(server: LocalServer) -> None:
    """These are scripts and styles, with their content types."""
    html = server.get("/docs", headers={"X-API-Key": None}).text
    loaded = [urljoin("/docs", each) for each in Page(html).addresses]
    assert FOREIGN.search(html) is None

    answers = {path: server.get(path, headers={"X-API-Key": None}) for path in loaded}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(loaded, 200)
    assert {path: answer.headers["content-type"] for path, answer in answers.items()} == {
        "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "/docs/swagger-ui.css": "text/css; charset=utf-8",
        "/docs/docs.js": "text/javascript; charset=utf-8",
        "/docs/docs.css": "text/css; charset=utf-8",
    }
    assert {"/docs", *loaded} == DOCS.paths
    assert FOREIGN.search(answers["/docs/docs.js"].text) is None


def test_the_page_behind_a_path_prefix_loads_its_files_below_the_prefix(server: LocalServer) -> None:
    """Its URLs are relative, and so is that of the OpenAPI document."""
    loaded = Page(server.get("/docs").text).addresses

    assert {urljoin("/a/prefix/docs", each) for each in loaded} == {
        f"/a/prefix{path}" for path in DOCS.paths - {"/docs"}
    }
    assert re.findall(r'url: "([^"]*)"', server.get("/docs/docs.js").text) == ["./openapi.json"]


def test_only_scripts_of_the_server_run_in_the_page(server: LocalServer) -> None:
    """It has no script of its own, so its Content-Security-Policy allows none."""
    answer = server.get("/docs")
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))

    assert not Page(answer.text).has_inline_script
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize(
    "name", ["redoc.standalone.js", "favicon.png", "index.html", "..%2Fcore.py", "%2e%2e/core.py"]
)
def test_other_files_beside_those_of_the_page_are_404(server: LocalServer, name: str) -> None:
    """Only files that the page needs are served."""
    answer = server.get(f"/docs/{name}")

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found.", "code": "not_found"})


def test_another_method_on_the_page_is_405_with_the_allowed_ones(server: LocalServer) -> None:
    """The page can only be read."""
    answer = server.ask("POST", "/docs")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@needs_browser
def test_a_browser_without_internet_shows_the_api_once_it_has_the_key(server: LocalServer, tab: Tab) -> None:
    """The key may be in the address; a wrong one is named in a sentence, and without one there is a field for it."""
    page = tab.page
    page.goto(f"{server.url}/docs")
    page.locator("form#login").wait_for()
    assert "not valid" not in page.content()
    page.goto("about:blank")
    page.goto(f"{server.url}/docs#key=no")
    page.get_by_text("This API key is not valid.").wait_for()
    assert page.locator("form#login").is_visible()
    assert "/postprocess/preview" not in page.content()
    page.goto("about:blank")

    page.goto(f"{server.url}/docs#key={KEY}")

    page.locator('[data-path="/postprocess/preview"]').first.wait_for()
    buttons = page.locator(".authorization__btn")
    locked = page.locator('[aria-label="authorization button locked"]')
    assert buttons.count() == locked.count() > 30
