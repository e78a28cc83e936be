"""Signed links to this server: each opens one path to GET and HEAD without an API key, until it expires.

Files of a store without presigned links have them, and what browsers ask for without headers: ``<img>``, ``<video>``
and ``EventSource``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import Query

from framepack.errors import FramepackError, InvalidField, Unauthorized
from framepack.rest.auth import missing_key
from framepack.storage.keys import Key
from framepack.storage.links import LinkStatus
from framepack.storage.open import has_own_links
from framepack.storage.outputs import PUBLIC_ROOT

if TYPE_CHECKING:
    from framepack.rest.server import Server

OPENAPI: Final[dict[str, Any]] = {"security": [{"ApiKey": []}, {"SignedLink": []}]}
"""What routes with signed links add to the OpenAPI document."""

_OF_LINK: Final = "As in an `events_url`"


def link_parameters(
    expires: Annotated[str | None, Query(description=_OF_LINK)] = None,
    signature: Annotated[str | None, Query(description=_OF_LINK)] = None,
) -> None:
    """A dependency of routes with signed links, which declares the parameters of these. They are checked before."""


async def events_url(server: Server, job_id: str) -> str | None:
    """The path of a job's events with a signature; None while the store cannot be asked for the secret."""
    with suppress(FramepackError):
        return await asyncio.to_thread(_signed, server, f"/jobs/{job_id}/events")
    return None


async def check_link(server: Server, path: str, query: bytes) -> None:
    """Check that a request without a key has a valid signed link to this very path.

    Raises:
        Unauthorized: it has no signed link, or an invalid or expired one.
    """
    given = dict(parse_qsl(query.decode("latin-1"), errors="replace"))
    resource = _resource(server, path) if "signature" in given else None
    if resource is None:
        raise missing_key()
    status = await asyncio.to_thread(server.signer.verify, resource, given.get("expires", ""), given["signature"])
    if status is LinkStatus.EXPIRED:
        raise Unauthorized("This link has expired; request the job again for a new one, or send an API key.")
    if status is LinkStatus.INVALID:
        raise missing_key()


def key_of(path: str) -> Key | None:
    """The key of a file, from the part of a path below ``/outputs/``; None if it is not one."""
    try:
        return Key(path)
    except (InvalidField, UnicodeEncodeError):
        return None


def _signed(server: Server, path: str) -> str:
    return f"{path}?{server.signer.query(path)}"


def _resource(server: Server, path: str) -> Key | str | None:
    """What a link to a path signs: the key of a file, else the path; None if there are no links to it."""
    if not path.startswith(PUBLIC_ROOT):
        return path
    return key_of(path.removeprefix(PUBLIC_ROOT)) if has_own_links(server.runtime.settings) else None
