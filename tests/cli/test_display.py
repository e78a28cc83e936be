"""What a person sees while a job runs."""

import io
import re

import pytest
from rich.console import Console

from framepack.cli.display import display_for, duration, progress_line
from framepack.job import Job, Progress


def test_without_a_terminal_progress_is_a_few_plain_lines() -> None:
    """These are the loading of a model, the first frame and the last frame, without control characters."""
    stream = io.StringIO()
    with display_for(Console(file=stream)) as shown:
        job = Job("test", shown.progress, on_model_loading=shown.loading)
        shown.begin("upscale in.mp4")
        for _ in range(2):
            with job.loading("a network"):
                pass
        list(job.watch(range(200), 200))

    lines = stream.getvalue().splitlines()
    assert lines[0] == "Loading a network ..."
    assert lines[1] == "1 of 200 frames"
    assert lines[-1].startswith("200 of 200 frames, ")
    assert len(lines) == 3


def test_on_a_terminal_progress_is_one_updated_line() -> None:
    """The line is removed at the end; notes stay."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with display_for(console) as shown:
        shown.begin("upscale in.mp4")
        shown.loading("a network")
        shown._bar.refresh()  # type: ignore[attr-defined] # as it does by itself, ten times a second
        shown.note("A note.")
        shown.loading(None)
        shown.progress(Progress(6, 24, 2.0))
        shown._bar.refresh()  # type: ignore[attr-defined]

    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    for expected in (
        "Loading a network ...",
        "A note.",
        "upscale in.mp4",
        "6 of 24 frames, 3.00 frames per second, 6.0 s left",
    ):
        assert expected in text
    assert stream.getvalue().rstrip("\n").endswith("\x1b[2K")


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(0, 24, 0.0), "0 of 24 frames"),
        (Progress(24, 24, 2.0), "24 of 24 frames, 12 frames per second"),
        (Progress(7, None, 7.0), "7 frames, 1.00 frames per second"),
        (Progress(30, None, 10, 0.25, "tokens"), "30 tokens, 3.00 tokens per second, 30 s left"),
        (Progress(1, 1000, 20.0), "1 of 1000 frames, 0.05 frames per second, 5 h 33 min left"),
    ],
)
def test_progress_is_described_without_unknown_values(progress: Progress, line: str) -> None:
    """The total or the time left may be unknown."""
    assert progress_line(progress) == line


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (185, "3 min 5 s")])
def test_durations_are_formatted_briefly(seconds: float, text: str) -> None:
    """There are tenths below ten seconds, and no seconds from one hour on."""
    assert duration(seconds) == text
