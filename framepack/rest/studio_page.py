"""``/``: the studio, where a person finishes a clip in the browser. It uses the same API as every other client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from framepack.rest.pages import Page, own_files
from framepack.storage.keys import Key
from framepack.storage.open import has_own_links

if TYPE_CHECKING:
    from framepack.rest.server import Server

_OWN: Final = Path(__file__).parent / "studio"

STUDIO: Final = Page(path="/", html=_OWN / "index.html", folder="/studio", files=own_files(_OWN))


def bucket_origins(server: Server) -> list[str]:
    """The origin of the bucket from which browsers load outputs; none if outputs come from this server."""
    if has_own_links(server.runtime.settings):
        return []
    link = urlsplit(server.runtime.storage.url(Key("file")) or "")
    return [f"{link.scheme}://{link.netloc}"] if link.netloc else []
