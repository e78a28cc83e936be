"""Cancelling, progress and warnings of a job."""

import pytest

from framepack.errors import Cancelled
from framepack.job import Job, Progress


def test_a_cancelled_job_stops_at_its_next_item() -> None:
    """No further item is handed out once the job is cancelled."""
    job = Job()
    items = job.watch(range(10), 10)
    assert [next(items), next(items)] == [0, 1]

    job.cancel()

    with pytest.raises(Cancelled):
        next(items)


def test_every_item_is_reported() -> None:
    """Progress counts items done of all items."""
    reports: list[Progress] = []

    items = list(Job(report=reports.append).watch("abc", 3))

    assert items == ["a", "b", "c"]
    assert [(each.done, each.total) for each in reports] == [(1, 3), (2, 3), (3, 3)]


def test_time_left_follows_from_the_speed_so_far() -> None:
    """A quarter done in ten seconds leaves thirty."""
    progress = Progress(25, 100, 10.0)

    assert (progress.percent, progress.remaining_seconds) == (25.0, 30.0)


def test_an_unknown_total_gives_no_estimate() -> None:
    """Without a total there is neither percent nor time left."""
    progress = Progress(25, None, 10.0)

    assert progress.percent is None
    assert progress.remaining_seconds is None


def test_a_warning_is_kept_once() -> None:
    """Repeating a sentence does not repeat it for the client."""
    job = Job()
    for _ in range(3):
        job.warn("2 frames could not be read.")

    assert job.warnings == ["2 frames could not be read."]


def test_a_part_is_cancelled_with_the_whole() -> None:
    """A part of a job has warnings and reports of its own, and one end with the job."""
    whole = Job("whole")
    reports: list[Progress] = []
    part = whole.part(reports.append)

    part.warn("Only here.")
    assert list(part.watch([1, 2], 2)) == [1, 2]
    whole.cancel()

    assert (part.id, whole.warnings, part.warnings) == ("whole", [], ["Only here."])
    assert [report.done for report in reports] == [1, 2]
    with pytest.raises(Cancelled):
        part.check()


def test_progress_may_be_known_otherwise_than_from_frames() -> None:
    """A part of the work that is done gives percent and time left without a total of frames."""
    progress = Progress(done=30, total=None, elapsed_seconds=10, part=0.25)

    assert (progress.percent, progress.remaining_seconds) == (25, 30)
    assert Progress(0, None, 1, 0).remaining_seconds is None
    assert Progress(5, None, 1).percent is None
