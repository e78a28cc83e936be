"""``/docs`` works without internet: the server gives every file that the page loads."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest

from framepack.rest.docs_page import PAGES
from tests.support.rest_server import LocalServer

FOREIGN = re.compile(r"""(?:https?:)?//[\w.-]+\.\w+""")


class Page(HTMLParser):
    """What a page loads (``src`` and ``href``), and the scripts that it contains."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self._is_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of a tag."""
        found = {name: value for name, value in attrs if name in {"src", "href"} and value}
        self.addresses += found.values()
        self._is_script = tag == "script" and not found

    def handle_data(self, data: str) -> None:
        """Note a script."""
        if self._is_script:
            self.scripts.append(data)
            self._is_script = False


def test_everything_that_the_page_loads_comes_from_the_server(server: LocalServer) -> None:
    """These are scripts, styles and the OpenAPI document, with their content types."""
    html = server.get("/docs").text
    document = re.search(r"url: '([^']+)'", html)
    loaded = [each for each in Page(html).addresses if not each.startswith("data:")]
    assert document
    assert FOREIGN.search(html) is None

    answers = {each: server.get(urlsplit(urljoin("/docs", each)).path) for each in [*loaded, document[1]]}

    assert {address: answer.status_code for address, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert {address.rpartition("/")[2]: answer.headers["content-type"] for address, answer in answers.items()} == {
        "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "swagger-ui.css": "text/css; charset=utf-8",
        "openapi.json": "application/json",
    }
    assert {urlsplit(urljoin("/docs", each)).path for each in answers} | {"/docs"} == PAGES


def test_the_page_behind_a_path_prefix_loads_its_files_below_the_prefix(server: LocalServer) -> None:
    """Its URLs are relative."""
    loaded = [each for each in Page(server.get("/docs").text).addresses if not each.startswith("data:")]

    assert {urljoin("/a/prefix/docs", each) for each in loaded} == {
        f"/a/prefix{path}" for path in PAGES - {"/docs", "/openapi.json"}
    }


def test_only_scripts_of_the_server_run_in_the_page(server: LocalServer) -> None:
    """The Content-Security-Policy lists the digests of the page's own scripts."""
    answer = server.get("/docs")
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
    scripts = Page(answer.text).scripts
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]

    assert scripts
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].split() == ["'self'", *(f"'sha256-{each}'" for each in digests)]
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("name", ["redoc.standalone.js", "favicon.png", "..%2Fcore.py", "%2e%2e/core.py"])
def test_other_files_of_the_swagger_package_are_404(server: LocalServer, name: str) -> None:
    """Only files that the page needs are served."""
    answer = server.get(f"/docs/{name}")

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found.", "code": "not_found"})


def test_another_method_on_the_page_is_405_with_the_allowed_ones(server: LocalServer) -> None:
    """The page can only be read."""
    answer = server.ask("POST", "/docs")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
