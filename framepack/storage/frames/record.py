"""What is remembered of an extraction: one document for each frame folder, in the store that has the frames."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from framepack.storage.documents import STATE, Documents

if TYPE_CHECKING:
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

_OWN_FRAME: Final = re.compile(r"frame_(\d{6,})\.[a-z]+", re.IGNORECASE)


def frame_name(position: int) -> str:
    """The documented name of the extracted frame at a position, from 0."""
    return f"frame_{position:06d}.png"


FractionText = Annotated[str, Field(pattern=r"^-?\d{1,30}(/[1-9]\d{0,29})?$")]
"""A number in full precision, such as "-1/3"."""

PositiveText = Annotated[str, Field(pattern=r"^[1-9]\d{0,29}(/[1-9]\d{0,29})?$")]
"""A number above 0 in full precision, such as "30000/1001"."""

Code = Annotated[int, Field(ge=0, le=65_535)]
"""A code of ITU-T H.273, or one of those that FFmpeg has beyond them."""


class FolderRecord(BaseModel):
    """Where the frames of a folder come from.

    Attributes:
        source_name: Name of the video.
        fps: Frames per second of the video, exactly.
        extraction_rate: Every which frame was extracted: the one called ``n`` is frame ``n * extraction_rate``.
        frame_count: Number of frames extracted.
        width: Pixels in a row.
        height: Rows.
        pixel_aspect: Width of a pixel over its height.
        colors: What the numbers meant in the video: matrix, primaries and transfer as in ITU-T H.273.
        sound_delay: Seconds from the first frame to the kept audio's first sample; None if there is no audio.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    source_name: str
    fps: PositiveText
    extraction_rate: int = Field(ge=1)
    frame_count: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    pixel_aspect: PositiveText = "1"
    colors: Annotated[list[Code], Field(min_length=3, max_length=3)]
    audio_delay: FractionText | None = None

    def source_index(self, filename: str) -> int | None:
        """Number of the video's frame that an extracted frame shows, from 0; None if it is not one of those."""
        found = _OWN_FRAME.fullmatch(filename)
        position = int(found[1]) if found else self.frame_count
        return position * self.extraction_rate if position < self.frame_count else None


def folder_records(storage: Storage) -> Documents[FolderRecord]:
    """The records of the frame folders in a store."""
    return Documents(storage, "frame_folders", _parsed)


def audio_key(folder: str) -> Key:
    """Where the kept audio of a folder's video lies."""
    return STATE / "frame_audio" / f"{folder}.mka"


def _parsed(content: dict[str, Any]) -> FolderRecord:
    return FolderRecord.model_validate(content)
