"""Damaged files of the corpus: no crash, no hang, and nothing is lost in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.fuzz import Outcome, fuzz, mutant
from tests.corpus.row import Row
from tests.corpus.table import ROWS
from tests.support.runs import Bench, bench

_TS = 188


@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutants_give_an_error_with_a_code_or_all_frames_or_a_warning(tmp_path: Path, count: int) -> None:
    """Processes with bounds of time and memory try them; every one of them gives an answer."""
    outcomes = fuzz(count, 1, tmp_path)
    assert [outcome for outcome in outcomes if outcome.is_fault] == []
    assert len(outcomes) == count
    assert {"refused", "warned", "whole"} <= {outcome.result for outcome in outcomes}


def test_crashes_hangs_and_losses_are_faults() -> None:
    """The figures of a run count them."""
    results = ("crash", "hang", "silent loss", "unclear error", "left behind")
    assert all(Outcome(0, "mp4", "export", result).is_fault for result in results)


def test_mutants_are_the_same_in_every_run() -> None:
    """A number and a seed are enough to make one again."""
    files = {row.name: bytes(range(256)) * 8 for row in ROWS}
    assert mutant(7, 1, files) == mutant(7, 1, files)
    assert mutant(7, 1, files)[1] != mutant(7, 2, files)[1]


@pytest.mark.parametrize("name", ["webm-vp8", "burst", "title", "chapters", "resized", "alpha-vp9", "mp4-av1"])
def test_the_files_of_rows_are_the_same_in_every_run(name: str, tmp_path: Path) -> None:
    """Nothing random is in them, and no encoder adapts to how busy the machine is."""
    [row] = (row for row in ROWS if row.name == name)
    made = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        made.append(row.make(folder).read_bytes())
    assert made[0] == made[1]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A worker for all cut files."""
    return bench(tmp_path_factory.mktemp("cut"), video_preset="ultrafast")


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.refused is None and not row.warnings and len(row.shown) <= 24],
    ids=lambda row: row.name,
)
def test_a_file_that_is_cut_off_is_refused_or_complete_or_says_so(tmp_path: Path, worker: Bench, row: Row) -> None:
    """Any place near the end of a file, but not between two packets of a transport stream, where nothing shows."""
    source = row.make(tmp_path)
    data = source.read_bytes()
    for share in (0.7, 0.9, 0.95):
        end = round(share * len(data))
        end += source.suffix == ".ts" and end % _TS == 0
        (tmp_path / "cut").write_bytes(data[:end])
        answer = worker.run("analyze", tmp_path / "cut")
        if "error" in answer:
            assert answer["code"] == "invalid_media"
        elif answer["analysis"]["total_frames"] < len(row.shown):
            assert answer.get("warnings"), (share, answer)
