"""The record of an extraction: one document per frame folder, in the store that holds the frames."""

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
    """The documented file name of the extracted frame at a position, counted from 0."""
    return f"frame_{position:06d}.png"


FractionText = Annotated[str, Field(pattern=r"^-?\d{1,30}(/[1-9]\d{0,29})?$")]
"""An exact number, such as "-1/3"."""

PositiveText = Annotated[str, Field(pattern=r"^[1-9]\d{0,29}(/[1-9]\d{0,29})?$")]
"""An exact number above 0, such as "30000/1001"."""

Code = Annotated[int, Field(ge=0, le=65_535)]
"""A code of ITU-T H.273, or one that FFmpeg adds to them."""


class FolderRecord(BaseModel):
    """Where the frames of a folder come from.

    Attributes:
        source_name: Name of the video.
        fps: Frames per second of the video, exactly.
        extraction_rate: N of "every Nth frame" as extracted: the frame called ``n`` is frame ``n * extraction_rate``.
        frame_count: Number of frames extracted.
        width: Pixels in a row.
        height: Rows.
        pixel_aspect: Width of a pixel over its height.
        colors: Colors of the video: matrix, primaries and transfer as codes of ITU-T H.273.
        audio_delay: Seconds from the first frame to the first sample of the kept audio; None if there is no audio.
            Stored as ``sound_delay``.
        metadata: Metadata of the video that outputs have, too, packed by `framepack.media.metadata.packed`.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, populate_by_name=True)

    source_name: str
    fps: PositiveText
    extraction_rate: int = Field(ge=1)
    frame_count: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    pixel_aspect: PositiveText = "1"
    colors: Annotated[list[Code], Field(min_length=3, max_length=3)]
    audio_delay: FractionText | None = Field(None, alias="sound_delay")
    metadata: str = Field("", repr=False)

    def source_index(self, filename: str) -> int | None:
        """Index in the video, from 0, of the frame in an extracted file; None for a file that was not extracted."""
        found = _OWN_FRAME.fullmatch(filename)
        position = int(found[1]) if found else self.frame_count
        return position * self.extraction_rate if position < self.frame_count else None


def folder_records(storage: Storage) -> Documents[FolderRecord]:
    """The records of the frame folders in a store."""
    return Documents(storage, "frame_folders", _parsed)


def audio_key(folder: str) -> Key:
    """The key of the kept audio of a folder's video."""
    return STATE / "frame_sounds" / f"{folder}.mka"


def _parsed(content: dict[str, Any]) -> FolderRecord:
    return FolderRecord.model_validate(content)
