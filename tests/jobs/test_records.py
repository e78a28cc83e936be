"""Records of jobs as they are stored."""

from __future__ import annotations

from datetime import UTC, datetime

from framepack.jobs.records import JobRecord, State


def test_a_record_of_version_0_1_keeps_its_pending_callback() -> None:
    """The field had another name in that version."""
    record = JobRecord(id="a", operation="upscale", state=State.FAILED, created=datetime.now(UTC))
    stored = record.model_dump(mode="json") | {"untold": True}
    del stored["callback_pending"]

    assert JobRecord.model_validate(stored).callback_pending
    assert JobRecord.model_validate(
        record.with_changes(callback_pending=True).model_dump(mode="json")
    ).callback_pending
