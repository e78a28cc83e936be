"""The image of a request about one image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framepack.files.source import Source
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.api.schemas import ImageRequest
    from framepack.processing.context import Context


def image_bytes(request: ImageRequest, ctx: Context) -> bytes:
    """The content of the request's image file, which nobody has looked at yet.

    Raises:
        InvalidSource, SourceNotAllowed, SourceFailed, SourceTooSlow: The image did not arrive.
        TooLarge: The file is over the limit of the settings.
    """
    max_mb = ctx.settings.max_image_mb
    if request.image_url is not None:
        source = ctx.fetch(request.image_url, max_mb)
    else:
        source = Source.from_base64(request.image_base64 or "", ctx.workspace, round(max_mb * MB), "image")
    return source.path.read_bytes()
