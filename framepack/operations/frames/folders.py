"""``GET /frames/folders``, ``GET`` and ``DELETE /frames/{folder}``: the folders of extracted frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from framepack.api.names import Name
from framepack.api.schemas import Message, NoFields, Request, SuccessResponse
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.storage.frames.folders import FrameFolders, sheet_key
from framepack.storage.outputs import PUBLIC_ROOT

if TYPE_CHECKING:
    from framepack.storage.frames.record import FolderRecord


class FoldersResponse(SuccessResponse):
    """All folders of extracted frames."""

    folders: list[str] = Field(description="Names of the folders, sorted")
    message: Message


class FolderRequest(Request):
    """A folder."""

    folder: Name = Field(description="Folder name from `/frames/folders`")


class FramesRequest(FolderRequest):
    """A folder, and what to say of its frames."""

    with_urls: bool = Field(default=False, description="Whether each frame has a `url`, for the images of a page")


class ListedFrame(BaseModel):
    """One frame of a folder."""

    filename: str = Field(description="Name of the file")
    path: str = Field(description="Path of the frame in the store")
    url: str | None = Field(
        None,
        exclude_if=lambda url: url is None,
        description="URL to download the frame, which needs no API key; only with `with_urls`",
    )
    index: int = Field(description="Index in this list, from 0")
    source_index: int | None = Field(None, description="Index of the frame in the video, if known")


class FolderSource(BaseModel):
    """The video that the frames of a folder come from."""

    name: str = Field(description="Name of the video's file")
    fps: str = Field(description='Frames per second, exactly: "30000/1001"')
    extraction_rate: int = Field(description="N, if every Nth frame was extracted")
    width: int = Field(description="Width of a frame in pixels")
    height: int = Field(description="Height of a frame in pixels")
    has_audio: bool = Field(description="Whether its audio is available for `/frames/reassemble`")


class FramesResponse(SuccessResponse):
    """The frames of a folder."""

    folder: str = Field(description="Name of the folder")
    frames: list[ListedFrame] = Field(description="In natural order: frame2 before frame10")
    total_count: int = Field(description="Number of frames in it")
    message: Message
    source: FolderSource | None = Field(None, description="The source of the frames, if they were extracted")
    contact_sheet_path: str | None = Field(None, description="Path of an image that shows up to 48 of the frames")
    contact_sheet_url: str | None = Field(None, description="URL to download that image")


class DeleteFolderResponse(SuccessResponse):
    """What was deleted."""

    folder: str = Field(description="Name of the folder")
    message: Message = "Successfully deleted folder and all its contents"


@operation("GET", "/frames/folders", needs="store")
def list_frame_folders(_request: NoFields, ctx: Context) -> FoldersResponse:
    """List all extracted frame folders."""
    names = FrameFolders(ctx.outputs.storage).names()
    return FoldersResponse(folders=names, message=f"Found {len(names)} extracted frame folder(s)")


@operation(
    "GET",
    "/frames/{folder}",
    needs="store",
    in_query=True,
    examples={
        "With links to the images": {"folder": "video_extracted_every_2_241204_143522", "with_urls": True},
    },
)
def list_frames(request: FramesRequest, ctx: Context) -> FramesResponse:
    """List all frames in a folder."""
    folders = FrameFolders(ctx.outputs.storage)
    stored = folders.frames(request.folder)
    record = folders.record(request.folder)
    frames = [
        ListedFrame(
            filename=each.key.name,
            path=f"{PUBLIC_ROOT}{each.key}",
            url=ctx.outputs.storage.url(each.key, filename=each.key.name) if request.with_urls else None,
            index=index,
            source_index=record.source_index(each.key.name) if record else None,
        )
        for index, each in enumerate(stored)
    ]
    return FramesResponse(
        folder=request.folder,
        frames=frames,
        total_count=len(frames),
        message=f"Found {len(frames)} frame(s) in folder",
        source=_source(record) if record else None,
        contact_sheet_path=f"{PUBLIC_ROOT}{sheet_key(request.folder)}" if record else None,
        contact_sheet_url=ctx.outputs.storage.url(sheet_key(request.folder)) if record else None,
    )


@operation("DELETE", "/frames/{folder}", needs="store")
def delete_frame_folder(request: FolderRequest, ctx: Context) -> DeleteFolderResponse:
    """Delete a folder with all its frames."""
    FrameFolders(ctx.outputs.storage).delete(request.folder)
    return DeleteFolderResponse(folder=request.folder)


def _source(record: FolderRecord) -> FolderSource:
    return FolderSource(
        name=record.source_name,
        fps=record.fps,
        extraction_rate=record.extraction_rate,
        width=record.width,
        height=record.height,
        has_audio=record.audio_delay is not None,
    )
