"""Cancelling, progress and warnings of a job."""

import time
from collections.abc import Iterator

import pytest

from framepack.cancellation import current_check, never_cancelled
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


def test_a_cancelled_job_stops_what_makes_its_next_item() -> None:
    """The item need not be there yet, and the check holds only while it is made."""
    job = Job()

    def slow() -> Iterator[int]:
        yield 1
        job.cancel()
        current_check()()
        yield 2

    items = job.watch(slow(), 2)
    assert next(items) == 1
    assert current_check() is never_cancelled

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


def test_a_sub_job_is_cancelled_with_its_parent() -> None:
    """A sub-job has its own warnings and reports, and is cancelled with its parent."""
    parent = Job("whole")
    reports: list[Progress] = []
    child = parent.sub_job(reports.append)

    child.warn("Only here.")
    assert list(child.watch([1, 2], 2)) == [1, 2]
    parent.cancel()

    assert (child.id, parent.warnings, child.warnings) == ("whole", [], ["Only here."])
    assert [report.done for report in reports] == [1, 2]
    with pytest.raises(Cancelled):
        child.check()


def test_progress_from_a_fraction_needs_no_total() -> None:
    """The fraction alone gives percent and time left."""
    progress = Progress(done=30, total=None, elapsed_seconds=10, fraction=0.25)

    assert (progress.percent, progress.remaining_seconds) == (25, 30)
    assert Progress(0, None, 1, 0).remaining_seconds is None
    assert Progress(5, None, 1).percent is None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes only when a test adds to it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_time_left_does_not_count_loading(clock: list[float]) -> None:
    """A model that loads for 30 seconds before the first frame says nothing about the speed of the frames."""
    reports: list[Progress] = []
    announced: list[str | None] = []
    parent = Job(on_model_loading=announced.append)
    job = parent.sub_job(reports.append)

    def frames() -> Iterator[int]:
        with job.loading("a network"):
            clock[0] += 30
        for number in range(4):
            clock[0] += 2
            yield number

    assert len(list(job.watch(frames(), 4))) == 4

    assert [report.elapsed_seconds for report in reports] == [2, 4, 6, 8]
    assert [report.remaining_seconds for report in reports] == [None, 4, 2, 0]
    assert announced == ["a network", None]
    assert (job.loading_seconds, parent.loading_seconds) == (30, 30)


@pytest.mark.parametrize(
    ("batch", "setup_seconds", "seconds"),
    [(1, 5, 0.4), (8, 1, 8), (1, 0, 5), (1, 0.5, 0.01)],
    ids=["slow setup", "batches", "slow frames", "fast frames"],
)
def test_time_left_is_said_when_it_is_known_and_not_far_off(
    clock: list[float], batch: int, setup_seconds: float, seconds: float
) -> None:
    """The first frame waits until all is set up, and frames that are made together come together."""
    reports: list[Progress] = []

    def frames() -> Iterator[int]:
        clock[0] += setup_seconds
        for number in range(400):
            clock[0] += 0 if number % batch else seconds
            yield number

    assert len(list(Job(report=reports.append).watch(frames(), 400))) == 400

    ended = clock[0] - 100
    left = [(report.remaining_seconds, ended - report.elapsed_seconds) for report in reports]
    assert left[0][0] is None
    assert left[-1] == (0, 0)
    known = [(said, real) for said, real in left if said is not None and real > ended / 10]
    assert len(known) > 200
    assert all(0.5 < said / real < 1.5 for said, real in known)


def test_a_cancelled_job_that_keeps_partial_results_ends_early() -> None:
    """Its items end; without a first item, or without keeps_partial, it raises Cancelled."""
    keeper, other, late = Job(keeps_partial=True), Job(), Job(keeps_partial=True)
    kept = keeper.until_cancelled(keeper.watch(range(10), 10))
    lost = other.until_cancelled(other.watch(range(10), 10))
    assert (next(kept), next(kept), next(lost)) == (0, 1, 0)
    for job in (keeper, other, late):
        job.cancel()

    assert list(kept) == []
    with pytest.raises(Cancelled):
        next(lost)
    with pytest.raises(Cancelled):
        next(late.until_cancelled(late.watch(range(10), 10)))


def test_an_update_leaves_out_what_is_not_known() -> None:
    """Clients get frames, percent and time left where they are known."""
    assert Progress(30, 120, 10.0).as_update() == {
        "frames_done": 30,
        "frames_total": 120,
        "percent": 25.0,
        "seconds_left": 30.0,
    }
    assert Progress(30, None, 10.0).as_update() == {"frames_done": 30}
