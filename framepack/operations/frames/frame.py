"""``/frames/{folder}/{frame}``: get, delete, replace or save one frame."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from pydantic import Field

from framepack.api.names import Name
from framepack.api.schemas import ImageRequest, Message, Request, SuccessResponse
from framepack.errors import InvalidField, NotFound
from framepack.filenames import clean_stem, safe_name
from framepack.processing.context import Context
from framepack.processing.image_source import image_bytes
from framepack.processing.operation import operation
from framepack.storage.frames.folders import MEDIA_TYPES, FrameFolders, folder_key, is_frame, no_such_frame
from framepack.storage.outputs import PUBLIC_ROOT
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.storage.frames.record import FolderRecord


class FrameRequest(Request):
    """A frame."""

    folder: Name = Field(description="Folder name")
    frame: Name = Field(description="Frame filename (e.g., `frame_000042.png`)")


class FrameResponse(SuccessResponse):
    """The frame and, if it is small, the image itself."""

    folder: str = Field(description="Name of the folder")
    filename: str = Field(description="Name of the file")
    size: int = Field(description="Size in bytes")
    mime_type: str = Field(description="Media type, such as `image/png`")
    base64: str | None = Field(None, repr=False, description="The image, if it is small")
    path: str = Field(description="Path of the frame in the store")
    url: str | None = Field(None, description="URL to download the frame")
    warnings: list[str] | None = Field(None, description="Non-fatal problems")


class DeleteFrameResponse(SuccessResponse):
    """What was deleted."""

    folder: str = Field(description="Name of the folder")
    frame: str = Field(description="Name of the deleted file")
    message: Message


class PutFrameRequest(FrameRequest, ImageRequest):
    """A frame, and the image that it becomes."""


class PutFrameResponse(SuccessResponse):
    """The frame that was replaced or added."""

    message: Message
    folder: str = Field(description="Name of the folder")
    filename: str = Field(description="Name of the file")
    size: int = Field(description="Size in bytes")
    path: str = Field(description="Path of the frame in the store")
    url: str | None = Field(None, description="URL to download the frame")
    warnings: list[str] | None = Field(None, description="Non-fatal problems, such as another size")


class SaveFrameResponse(SuccessResponse):
    """The location of the saved frame and, if it is small, the image itself."""

    message: Message
    saved_path: str = Field(description="Path of the saved image in the store")
    frame_base64: str | None = Field(None, repr=False, description="The image, if it is small")
    filename: str = Field("", description="Name of the saved image")
    output_url: str | None = Field(None, description="URL to download the saved image")
    output_file_size: int = Field(0, description="Size in bytes")
    warnings: list[str] | None = Field(None, description="Non-fatal problems")


@operation("GET", "/frames/{folder}/{frame}", needs="store")
def get_frame(request: FrameRequest, ctx: Context) -> FrameResponse:
    """Get one frame as an image."""
    storage = ctx.outputs.storage
    stored = FrameFolders(storage).frame(request.folder, request.frame)
    is_small = stored.size_bytes <= round(ctx.settings.inline_limit_mb * MB)
    with _named_if_missing(request):
        data = storage.read(stored.key) if is_small else None
    return FrameResponse(
        folder=request.folder,
        filename=request.frame,
        size=stored.size_bytes if data is None else len(data),
        mime_type=MEDIA_TYPES[PurePath(request.frame).suffix.lower()],
        base64=None if data is None else b64encode(data).decode(),
        path=f"{PUBLIC_ROOT}{stored.key}",
        url=storage.url(stored.key, filename=request.frame),
    )


@operation("DELETE", "/frames/{folder}/{frame}", needs="store")
def delete_frame(request: FrameRequest, ctx: Context) -> DeleteFrameResponse:
    """Delete one frame; the others keep their names."""
    FrameFolders(ctx.outputs.storage).delete_frame(request.folder, request.frame)
    return DeleteFrameResponse(
        folder=request.folder, frame=request.frame, message=f"Successfully deleted frame '{request.frame}'"
    )


@operation("POST", "/frames/{folder}/save/{frame}", needs="store")
def save_frame(request: FrameRequest, ctx: Context) -> SaveFrameResponse:
    """Save one frame, byte for byte, to permanent storage."""
    stored = FrameFolders(ctx.outputs.storage).frame(request.folder, request.frame)
    name = PurePath(request.frame)
    ctx.workspace.require_free(stored.size_bytes)
    path = ctx.workspace.path(f"frame{name.suffix.lower()}")
    with _named_if_missing(request):
        ctx.outputs.storage.fetch(stored.key, path)
    prefix = f"saved_frame_{clean_stem(request.folder)}_{ctx.outputs.stamp()}"
    saved = ctx.outputs.save(path, f"{prefix}_{safe_name(name.stem, 'frame')}{name.suffix.lower()}")
    return SaveFrameResponse(
        message=f"Successfully saved frame '{request.frame}'",
        saved_path=saved.path,
        frame_base64=saved.base64,
        filename=saved.filename,
        output_url=saved.url,
        output_file_size=saved.size_bytes,
    )


@operation(
    "POST",
    "/frames/{folder}/{frame}",
    needs="light",
    examples={
        "Image at an address": {
            "folder": "video_extracted_every_2_241204_143522",
            "frame": "frame_000042.png",
            "image_url": "https://example.com/frame.png",
        },
    },
)
def put_frame(request: PutFrameRequest, ctx: Context) -> PutFrameResponse:
    """Replace a frame by an image, or add one. It keeps its bytes if it has the format of the name."""
    if not is_frame(request.frame):
        raise InvalidField(f"frame must end in {', '.join(MEDIA_TYPES)}, not {request.frame!r:.60}.")
    folders = FrameFolders(ctx.outputs.storage)
    folders.check(request.folder)
    data = _frame_file(request, folders.record(request.folder), ctx)
    ctx.job.check()
    is_replaced = folders.put_frame(request.folder, request.frame, data)
    key = folder_key(request.folder) / request.frame
    return PutFrameResponse(
        message=f"Successfully {'replaced' if is_replaced else 'added'} frame '{request.frame}'",
        folder=request.folder,
        filename=request.frame,
        size=len(data),
        path=f"{PUBLIC_ROOT}{key}",
        url=ctx.outputs.storage.url(key, filename=request.frame),
        warnings=ctx.job.warnings or None,
    )


def _frame_file(request: PutFrameRequest, record: FolderRecord | None, ctx: Context) -> bytes:
    """The request's image in the format of the frame's name; it is decoded in any case."""
    from framepack.media.images.decode import image_format, read_image
    from framepack.media.images.image_file import encoded_image

    wanted = MEDIA_TYPES[PurePath(request.frame).suffix.lower()].removeprefix("image/").upper()
    data = image_bytes(request, ctx)
    rgb = read_image(data, "The image", ctx.settings.max_pixels)
    height, width, _ = rgb.shape
    if record is not None and (width, height) != (record.width, record.height):
        ctx.job.warn(
            f"The image has {width} x {height} pixels, other frames {record.width} x {record.height}: a video gets "
            "the size of its first frame."
        )
    if image_format(data) == wanted:
        return data
    ctx.job.warn(f"The image was converted to {wanted}, the format of the frame's name.")
    return encoded_image(rgb, wanted)


@contextmanager
def _named_if_missing(request: FrameRequest) -> Iterator[None]:
    """Name the frame in the error if it is deleted between the look-up and the read."""
    try:
        yield
    except NotFound as error:
        raise no_such_frame(request.folder, request.frame) from error
