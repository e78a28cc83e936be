"""``POST /caption-image``: a description of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from framepack.api.schemas import CallbackRequest, Message, SuccessResponse, Url, one_source
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.units import MB

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

_WHITE = 255
_ENOUGH = 1536  # pixels: twice the side that Florence-2 sees


class CaptionImageRequest(CallbackRequest):
    """An image to describe."""

    sources = ("image_base64", "image_url")

    image_base64: str | None = Field(None, description="Base64-encoded image", repr=False)
    image_url: Url | None = Field(None, description="URL to download image from")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        one_source(**{name: getattr(self, name) for name in self.sources})
        return self

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
    from framepack.files.source import Source
    from framepack.media.images.decode import read_image

    settings = ctx.settings
    if request.image_url is not None:
        source = ctx.fetch(request.image_url, settings.max_image_mb)
    else:
        limit = round(settings.max_image_mb * MB)
        source = Source.from_base64(request.image_base64 or "", ctx.workspace, limit, "image")
    data = source.path.read_bytes()
    return read_image(data, "The image", settings.max_image_pixels, background=_WHITE, enough=_ENOUGH)
