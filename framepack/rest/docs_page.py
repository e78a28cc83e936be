"""``/docs``: interactive API documentation. All its files come from this server, so it works without internet."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from framepack.rest.pages import Page, own_files

_OWN: Final = Path(__file__).parent / "docs"
_SWAGGER: Final = "fastapi_offline"  # ships Swagger UI's files; its own pages would load a favicon and ReDoc as well
_NAMES: Final = ("swagger-ui-bundle.js", "swagger-ui.css")

DOCS: Final = Page(
    path="/docs",
    html=_OWN / "index.html",
    folder="/docs",
    files=own_files(_OWN) | {name: Path(str(files(_SWAGGER) / "static" / name)) for name in _NAMES},
    inline_styles=True,
)
