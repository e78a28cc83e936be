"""``POST /system/clear-temp``: make room, without touching anything that a living job owns."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from framepack.api.schemas import Request, Response
from framepack.files.removed import RemovedFiles
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.storage.clearing import clear_temporary_results
from framepack.storage.frames.folders import sweep as sweep_folders

_DEAD_FOLDER_SECONDS: Final = 900.0


class ClearTempRequest(Request):
    """No fields."""


class ClearTempResponse(Response):
    """What was removed."""

    success: bool = True
    message: str
    files_deleted: int = Field(description="Number of files removed")
    space_freed_mb: float = Field(description="Their size in megabytes, of a million bytes")
    files_kept: int = Field(description="Temporary results that stay: made just now, or claimed by a running job")


@operation("POST", "/system/clear-temp", needs="store")
def clear_temp(request: ClearTempRequest, ctx: Context) -> ClearTempResponse:
    """Clear temporary files: results that were not saved, and what killed jobs left behind."""
    del request
    results, kept = clear_temporary_results(
        ctx.state,
        grace_seconds=ctx.settings.temp_grace_seconds,
        claim_lifetime_seconds=ctx.settings.claim_lifetime_seconds,
    )
    folders = RemovedFiles(*sweep_folders(ctx.state, _DEAD_FOLDER_SECONDS))
    freed = ctx.stale_removed + results + folders + ctx.state.sweep()
    return ClearTempResponse(
        message=f"Cleared {freed.files} temporary file(s), freed {freed.size_bytes / 1e6:.2f} MB",
        files_deleted=freed.files,
        space_freed_mb=round(freed.size_bytes / 1e6, 2),
        files_kept=kept,
    )
