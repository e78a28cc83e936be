"""Pages for people: files of this server alone, open to everybody, with a strict Content-Security-Policy.

A page holds no secret: it asks for the API key, which every request to the API needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from framepack.errors import NotFound

_MEDIA_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
}
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the files that it loads. Its URLs are relative, so that it also works below the path of a proxy.

    Attributes:
        path: Its path, such as ``/docs``.
        html: The page itself.
        folder: The path below which its files are served, such as ``/docs``.
        files: The files by name.
        inline_styles: Whether its elements may have styles in attributes.
    """

    path: str
    html: Path
    folder: str
    files: Mapping[str, Path]
    inline_styles: bool = False

    @property
    def paths(self) -> frozenset[str]:
        """The paths of the page and of its files, which need no API key."""
        return frozenset({self.path, *(f"{self.folder}/{name}" for name in self.files)})


def own_files(folder: Path) -> dict[str, Path]:
    """The files of a page that lie in the package, by name; the page itself is not among them."""
    return {each.name: each for each in sorted(folder.iterdir()) if each.suffix in _MEDIA_TYPES.keys() - {".html"}}


def page_routes(page: Page, origins: Callable[[], Iterable[str]] = tuple) -> APIRouter:
    """The routes of a page and of its files.

    Args:
        page: The page.
        origins: Other origins from which it may load images, videos and data; asked once per request, in a thread.
    """
    router = APIRouter(include_in_schema=False)

    @router.get(page.path)
    def show_page() -> Response:
        return _file(page.html, page, origins())

    @router.get(f"{page.folder}/{{name}}")
    def page_file(name: str) -> Response:
        if name not in page.files:
            raise NotFound("Not Found.")
        return _file(page.files[name], page, ())

    return router


def _file(path: Path, page: Page, origins: Iterable[str]) -> Response:
    headers = {**_HEADERS, "Content-Security-Policy": _policy(page, origins)}
    return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers=headers)


def _policy(page: Page, origins: Iterable[str]) -> str:
    others = "".join(f" {each}" for each in origins)
    styles = " 'unsafe-inline'" if page.inline_styles else ""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' blob: data:{others}; "
        f"media-src 'self' blob:{others}; connect-src 'self'{others}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
