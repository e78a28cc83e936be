"""``/docs``: interactive API documentation. All its files come from this server, so it works without internet.

The page itself is open: it asks for the API key, which the OpenAPI document and all requests need.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from framepack.errors import NotFound

_OWN: Final = Path(__file__).parent / "docs"
_SWAGGER: Final = "fastapi_offline"  # ships Swagger UI's files; its own pages would load a favicon and ReDoc as well
_MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
_NAMES: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "docs.css")

PAGES: Final = frozenset({"/docs", *(f"/docs/{name}" for name in _NAMES)})
"""Paths of the page and of the files that it loads. They hold no secret and need no key."""

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def docs_routes() -> APIRouter:
    """The routes of the page and of the files that it loads.

    URLs are relative, so that the page also works behind a proxy that adds a path prefix.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> Response:
        return _file(_OWN / "index.html")

    @router.get("/docs/{name}")
    async def docs_file(name: str) -> Response:
        if name not in _NAMES:
            raise NotFound("Not Found.")
        is_own = name.startswith("docs.")
        return _file(_OWN / name if is_own else Path(str(files(_SWAGGER) / "static" / name)))

    return router


def _file(path: Path) -> Response:
    return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers=_HEADERS)
