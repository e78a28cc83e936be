"""``framepack run``: one operation on files of this machine."""

from pathlib import Path

import pytest

from framepack.cli import main
from framepack.media.probe import probe
from tests.support.clips import Spec, make_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A short video."""
    return make_clip(tmp_path / "in.mp4", Spec(size=(64, 36), count=12))


def test_an_operation_writes_its_result_to_the_named_file(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields are options; the result lies where it was asked for, and its path is printed."""
    target = tmp_path / "out.mp4"

    assert main(["run", "loop", str(clip), str(target), "--loop-type", "loop", "--num_loops", "2"]) == 0

    assert capsys.readouterr().out.splitlines() == [str(target)]
    assert probe(target).frame_count == 3 * 12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "filters", "IN", "OUT", "--brightnes", "3"], "did you mean 'brightness'"),
        (["run", "filters", "IN", "OUT", "--brightness", "loud"], "brightness must be"),
        (["run", "filters", "IN", "OUT", "--brightness"], "Options must come in pairs"),
        (["run", "analyze", "IN", "OUT"], "does not make one video of one video"),
        (["run", "sharpen", "IN", "OUT"], "Unknown endpoint 'sharpen'"),
        (["run", "loop", "missing.mp4", "OUT"], "missing.mp4 is not a file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], sentence: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, the sentence says why, and nothing is written."""
    target = tmp_path / "out.mp4"

    assert main([{"IN": str(clip), "OUT": str(target)}.get(each, each) for each in arguments]) == 1

    assert sentence in capsys.readouterr().err
    assert not target.exists()


def test_options_of_no_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Only `run` takes options that it learns from the operation."""
    with pytest.raises(SystemExit):
        main(["weights", "list", "--brightness", "3"])
    assert "unrecognized arguments" in capsys.readouterr().err
