"""Clearing away finished results that nobody asked to keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from framepack.files.parallel import in_parallel
from framepack.files.removed import RemovedFiles
from framepack.storage.claims import claimed_results
from framepack.storage.outputs import ResultFolder

if TYPE_CHECKING:
    from framepack.storage.base import Storage, StoredObject


def clear_temporary_results(
    state: Storage, *, grace_seconds: float, claim_lifetime_seconds: float
) -> tuple[RemovedFiles, int]:
    """Remove the temporary results that no living job owns.

    Args:
        state: The deployment's store.
        grace_seconds: Younger results stay: their jobs may be about to claim them, or to answer.
        claim_lifetime_seconds: How long a claim counts whose job gives no sign of life.

    Returns:
        What was removed, and how many results stay.
    """
    now, grace = datetime.now(UTC), timedelta(seconds=grace_seconds)
    # In this order: a result is claimed within the grace after it is there, and is too young until then.
    claimed = claimed_results(state, now, grace=grace, lifetime=timedelta(seconds=claim_lifetime_seconds))
    found = list(state.list(ResultFolder.TEMP_PROCESSING.key))
    idle = [stored for stored in found if now - stored.modified > grace and stored.key.name not in claimed]

    def remove(stored: StoredObject) -> RemovedFiles:
        return RemovedFiles(1, stored.size_bytes) if state.delete(stored.key) else RemovedFiles()

    return sum(in_parallel(remove, idle), RemovedFiles()), len(found) - len(idle)
