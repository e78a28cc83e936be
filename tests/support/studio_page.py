"""A page of the tests' own that loads modules of the studio, under the policy of the studio's page."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.control_plane import ROOT
from tests.support.http_server import Answer, HttpServer, Received

STUDIO: Final = ROOT / "framepack" / "rest" / "studio"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE: Final = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A part of the studio</title><link rel="icon" href="data:,"><link rel="stylesheet" href="page.css">{styles}
<script type="module" src="page.js"></script><main><h1>A part of the studio</h1></main></html>"""
_STYLE: Final = """
:root {
  color-scheme: light dark; --surface: light-dark(#fff, #16181d); --surface-2: light-dark(#f1f3f6, #22252c);
  --text: light-dark(#1b1e24, #eceef2); --muted: light-dark(#5a6270, #a3abb8);
  --border: light-dark(#d5dae2, #3a3f4a); --error: light-dark(#b3261e, #ffb4ab);
  --accent: light-dark(#2854c5, #8fb0ff); --on-accent: light-dark(#fff, #10131a);
  --radius: 10px; --space: 1rem;
}
body { margin: 0; background: var(--surface); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: var(--space); }
h1 { margin: 0 0 1rem; font-size: 1rem; }
"""


@dataclass
class StudioPage:
    """A server of the page ``/`` and of files beside it, in ranges as a player asks for them.

    Attributes:
        url: The page's address.
        files: Files by their names in the address.
        answers: Other answers by path, such as ``/postprocess/analyze``.
        asked: Names of the files that were asked for.
        policy: The page's Content-Security-Policy.
    """

    url: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    policy: str = _POLICY

    def answer(self, received: Received, pages: dict[str, tuple[str, str]]) -> Answer:
        """The page, a module of the studio, or a file."""
        name = received.path[1:]
        if name in pages:
            kind, text = pages[name]
            return Answer(200, text.encode(), {"Content-Type": kind, "Content-Security-Policy": self.policy})
        if received.path in self.answers:
            return self.answers[received.path]
        path = self.files.get(name, STUDIO / name)
        if not path.is_file():
            return Answer(404)
        self.asked.append(name)
        return _part(path, received.headers.get("Range"))


def _part(path: Path, asked: str | None) -> Answer:
    content = path.read_bytes()
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0] or ""
    headers = {"Content-Type": kind, "Accept-Ranges": "bytes", "Cache-Control": "max-age=3600"}
    if (match := re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")) is None:
        return Answer(200, content, headers)
    begin, end = int(match[1]), int(match[2] or len(content) - 1)
    headers["Content-Range"] = f"bytes {begin}-{end}/{len(content)}"
    return Answer(206, content[begin : end + 1], headers)


@contextmanager
def studio_page(script: str, *styles: str) -> Iterator[StudioPage]:
    """Serve the page.

    Args:
        script: Its module, which finds the element ``main``.
        styles: Names of style sheets of the studio.
    """
    links = "".join(f'<link rel="stylesheet" href="{name}">' for name in styles)
    pages = {
        "": ("text/html", _PAGE.format(styles=links)),
        "page.js": ("text/javascript", script),
        "page.css": ("text/css", _STYLE),
    }
    page = StudioPage()
    with HttpServer(lambda received: page.answer(received, pages)) as server:
        page.url = f"{server.url}/"
        yield page
