"""``/docs``: interactive API documentation. All its files come from this server, so it works without internet."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, Response

from framepack.errors import NotFound

_MEDIA_TYPES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_PACKAGE: Final = "fastapi_offline"  # ships Swagger UI's files; its own pages would load a favicon and ReDoc as well

PAGES: Final = frozenset({"/docs", "/openapi.json", *(f"/docs/{name}" for name in _MEDIA_TYPES)})
"""Paths that people open in a browser, which may send the API key as a password."""

_INLINE_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_SAFE_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_routes(app: FastAPI) -> APIRouter:
    """The routes of the page and of the files that it loads.

    URLs are relative, so that the page also works behind a proxy that adds a path prefix.
    """
    router = APIRouter(include_in_schema=False)
    page = get_swagger_ui_html(
        openapi_url="./openapi.json",
        title=app.title,
        swagger_js_url="./docs/swagger-ui-bundle.js",
        swagger_css_url="./docs/swagger-ui.css",
        swagger_favicon_url="data:,",  # none
    )
    page.headers.update(_SAFE_HEADERS)
    page.headers["Content-Security-Policy"] = _POLICY.format(hashes=_hashes(bytes(page.body).decode()))

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return page

    @router.get("/docs/{name}")
    async def docs_file(name: str) -> Response:
        if name not in _MEDIA_TYPES:
            raise NotFound("Not Found.")
        path = Path(str(files(_PACKAGE) / "static" / name))
        return FileResponse(path, media_type=_MEDIA_TYPES[name], headers=_SAFE_HEADERS)

    return router


def _hashes(html: str) -> str:
    """Hashes of the page's inline scripts, for its content security policy."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(html))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
