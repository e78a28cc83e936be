"""``POST /caption-image``: a description of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from framepack.api.schemas import CallbackRequest, ImageRequest, Message, SuccessResponse
from framepack.processing.context import Context
from framepack.processing.image_source import image_bytes
from framepack.processing.operation import operation

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

_WHITE = 255
_ENOUGH = 1536  # pixels: twice the side that Florence-2 sees


class CaptionImageRequest(ImageRequest, CallbackRequest):
    """An image to describe."""

    def callback_metadata(self) -> dict[str, Any]:
        """Nothing: the image is the only parameter."""
        return {}

    def callback_results(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The caption, because callbacks have no other field for it."""
        return {"caption": answer["caption"]}


class CaptionImageResponse(SuccessResponse):
    """The caption."""

    caption: str = Field(description="The caption")
    message: Message


@operation(
    "POST",
    "/caption-image",
    examples={
        "Image at an address": {"image_url": "https://example.com/cat.jpg"},
    },
)
def caption_image(request: CaptionImageRequest, ctx: Context) -> CaptionImageResponse:
    """Generate a descriptive caption from an image."""
    image = _image(request, ctx)
    with ctx.loaded("the captioning model", ctx.models.captioner()) as captioner:
        caption = captioner(image, ctx.job)
    return CaptionImageResponse(caption=caption, message="Image captioned successfully")


def _image(request: CaptionImageRequest, ctx: Context) -> NDArray[uint8]:
    """The request's image at a size that suffices, upright, transparent parts on white; see `read_image`."""
    from framepack.media.images.decode import read_image

    data = image_bytes(request, ctx)
    return read_image(data, "The image", ctx.settings.max_image_pixels, background=_WHITE, enough=_ENOUGH)
