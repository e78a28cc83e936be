"""``POST /system/clear-temp``: free space in the store, without touching what a running job owns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pydantic import Field

from framepack.api.schemas import Message, NoFields, SuccessResponse
from framepack.files.parallel import in_parallel
from framepack.files.removed import RemovedFiles
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.storage.claims import claimed_results
from framepack.storage.frames.folders import remove_unfinished_folders
from framepack.storage.outputs import ResultFolder
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.storage.base import StoredObject

_DEAD_FOLDER_SECONDS: Final = 900.0


class ClearTempResponse(SuccessResponse):
    """What was removed."""

    message: Message
    files_deleted: int = Field(description="Number of files removed")
    space_freed_mb: float = Field(description="Their size in megabytes, of a million bytes")
    files_kept: int = Field(description="Temporary results that were kept: new ones, and results of running jobs")


@operation("POST", "/system/clear-temp", needs="store")
def clear_temp(_request: NoFields, ctx: Context) -> ClearTempResponse:
    """Clear temporary files: results that were not saved, and what killed jobs left behind."""
    results, kept = _clear_results(ctx)
    folders = remove_unfinished_folders(ctx.state, _DEAD_FOLDER_SECONDS)
    removed = ctx.stale_removed + results + folders + ctx.state.remove_partial_writes()
    return ClearTempResponse(
        message=f"Cleared {removed.files} temporary file(s), freed {removed.size_bytes / MB:.2f} MB",
        files_deleted=removed.files,
        space_freed_mb=round(removed.size_bytes / MB, 2),
        files_kept=kept,
    )


def _clear_results(ctx: Context) -> tuple[RemovedFiles, int]:
    """Remove the temporary results that no running job claims; return what was removed and how many were kept."""
    now, grace = datetime.now(UTC), timedelta(seconds=ctx.settings.temp_grace_seconds)
    # The claims are read before the results are listed. A job claims a result within the grace period after storing
    # it, so a result that is old enough to be removed was either claimed by then or never will be.
    lifetime = timedelta(seconds=ctx.settings.claim_lifetime_seconds)
    claimed = claimed_results(ctx.state, now, grace=grace, lifetime=lifetime)
    found = list(ctx.state.list(ResultFolder.TEMP_PROCESSING.key))
    unclaimed = [stored for stored in found if now - stored.modified > grace and stored.key.name not in claimed]

    def remove(stored: StoredObject) -> RemovedFiles:
        return RemovedFiles(1, stored.size_bytes) if ctx.state.delete(stored.key) else RemovedFiles()

    return sum(in_parallel(remove, unclaimed), RemovedFiles()), len(found) - len(unclaimed)
