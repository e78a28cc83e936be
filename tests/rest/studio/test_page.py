"""``GET /``: the studio's files are open, come from this server alone, and are checked."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from framepack.rest.studio_page import STUDIO
from tests.support.control_plane import ROOT
from tests.support.node import needs_node, node
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread
from tests.support.s3_server import S3Server

FOLDER = ROOT / "framepack" / "rest" / "studio"
MODULES = sorted(FOLDER.glob("*.js"))
MAX_LINES = 300
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
}


class Html(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))

    @property
    def addresses(self) -> list[str]:
        """What the page loads and links to."""
        return [
            value for _, each in self.elements for name, value in each.items() if name in {"src", "href"} and value
        ]


def test_the_page_and_its_files_are_served_without_a_key(server: LocalServer) -> None:
    """Each file has its content type, and a browser asks whether it has changed."""
    page = server.get("/", headers={"X-API-Key": None})
    files = {path: server.get(path, headers={"X-API-Key": None}) for path in STUDIO.paths - {"/"}}

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert {path: answer.headers.get("content-type") for path, answer in files.items()} == {
        f"/studio/{each.name}": TYPES[each.suffix] for each in FOLDER.iterdir() if each.suffix != ".html"
    }
    for answer in (page, *files.values()):
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["etag"]


def test_the_html_has_no_script_or_style_and_only_relative_addresses(server: LocalServer) -> None:
    """Its policy allows neither, and a proxy may serve it below a path of its own."""
    html = Html(server.get("/").text)

    loaded = {urljoin("/a/prefix/", each) for each in html.addresses}
    assert loaded - {"/a/prefix/docs"} <= {f"/a/prefix{path}" for path in STUDIO.paths}
    assert not any(name == "style" or name.startswith("on") for _, each in html.elements for name in each)
    assert [each for each in html.elements if each[0] in {"script", "style"} and "src" not in each[1]] == []


def test_the_policy_allows_files_of_this_server_alone(server: LocalServer) -> None:
    """No script or style in elements, no other host, no frame around the page."""
    assert server.get("/").headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def test_outputs_in_a_bucket_may_be_loaded_from_it_and_from_nowhere_else(tmp_path: Path, s3: S3Server) -> None:
    """The policy names the origin of presigned links."""
    chosen: dict[str, Any] = {
        "storage": f"s3://{s3.make_bucket()}/x",
        "bucket_endpoint_url": s3.endpoint_url,
        "bucket_access_key_id": s3.access_key,
        "bucket_secret_access_key": s3.secret_key,
    }
    with server_in_thread(tmp_path, HeldBackend(), HeldBackend(), **chosen) as server:
        policy = server.get("/").headers["content-security-policy"]
    parts = dict(each.strip().split(" ", 1) for each in policy.split(";"))

    assert parts["img-src"] == f"'self' blob: data: {s3.endpoint_url}"
    assert parts["media-src"] == f"'self' blob: {s3.endpoint_url}"
    assert parts["connect-src"] == f"'self' {s3.endpoint_url}"
    assert parts["script-src"] == parts["style-src"] == "'self'"


@pytest.mark.parametrize("name", ["index.html", "none.js", "..%2Fapp.py", "%2e%2e/app.py"])
def test_other_files_beside_those_of_the_studio_are_404(server: LocalServer, name: str) -> None:
    """Only files that the page needs are served."""
    answer = server.get(f"/studio/{name}")

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found.", "code": "not_found"})


def test_the_sample_clip_and_its_settings_are_those_of_the_test_input() -> None:
    """There is one sample."""
    job = json.loads((ROOT / "test_input.json").read_text())["input"]
    module = (FOLDER / "sample.js").read_text()
    operation = re.search(r'operation: "(\w+)"', module)
    body = re.search(r"body: (\{.*\})", module)
    assert operation is not None
    assert body is not None

    assert (FOLDER / "sample.mp4").read_bytes() == base64.b64decode(job.pop("video_base64"))
    assert job.pop("endpoint") == operation[1]
    assert json.loads(re.sub(r"(\w+):", r'"\1":', body[1])) == job


def test_every_module_is_short_and_asks_to_be_checked() -> None:
    """So that each can be read as a whole."""
    lines = {path.name: len(path.read_text().splitlines()) for path in MODULES}

    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}
    assert [path.name for path in MODULES if not path.read_text().startswith("// @ts-check\n")] == []


def test_every_file_is_used() -> None:
    """By the page or by a module."""
    texts = "".join(path.read_text() for path in FOLDER.iterdir() if path.suffix in {".js", ".html"})

    unused = [name for name in STUDIO.files if not re.search(rf"[\"'/]{re.escape(name)}[\"']", texts)]

    assert unused == []


def test_no_module_makes_elements_of_text() -> None:
    """What a server or a file says is text, never HTML."""
    forbidden = re.compile(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function)\b")

    assert [path.name for path in MODULES if forbidden.search(path.read_text())] == []


@needs_node
def test_the_modules_have_the_types_that_they_say() -> None:
    """As TypeScript's checker sees them."""
    checked = node("tsc", "-p", ROOT / "tools" / "node" / "jsconfig.json", folder=ROOT)

    assert (checked.stdout, checked.returncode) == ("", 0)
