"""Where results go: refused before any work, written whole, and never lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from framepack.cli import main
from framepack.cli.target import ResultNotMoved, check_file, check_new_folder, free_name, move_result
from framepack.errors import InvalidField
from framepack.media.read.probe import probe


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (".", "is a folder; name the file to write, such as "),
        ("no/such/out.mp4", "does not exist; make it first: mkdir -p "),
        ("in.mp4/out.mp4", "is a file, not a folder."),
        ("in.mp4", "is the source itself; name another file."),
        ("link.mp4", "is the source itself; name another file."),
        ("other.mp4", "exists; add --overwrite to replace it."),
        ("pipe.mp4", "is not a regular file; name another one."),
        ("out.mov", "must end in .mp4, .webm or .gif"),
        ("out", "must end in .mp4, .webm or .gif"),
        ("x" * 300 + ".mp4", "cannot be written: File name too long."),
    ],
    ids=lambda value: value[:20],
)
def test_an_invalid_output_path_is_refused_before_any_work(
    target: str, sentence: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 2, no model is loaded, and no file has changed."""
    shutil.copy(clip, tmp_path / "other.mp4")
    (tmp_path / "link.mp4").symlink_to(clip)
    os.mkfifo(tmp_path / "pipe.mp4")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    assert main(["run", "upscale", str(clip), "-o", str(tmp_path / target)]) == 2

    printed = capsys.readouterr().err
    assert sentence in printed
    assert "Loading" not in printed
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_an_output_folder_that_cannot_be_written_is_refused(clip: Path) -> None:
    """This is found by writing: some folders are not writable even for root."""
    with pytest.raises(InvalidField, match=r"/proc/out\.mp4 cannot be written: "):
        check_file(Path("/proc/out.mp4"), [clip], overwrite=False)


def test_an_existing_file_is_replaced_only_with_overwrite(clip: Path, tmp_path: Path) -> None:
    """A symbolic link to it is kept."""
    old = tmp_path / "old.mp4"
    old.write_text("old")
    link = tmp_path / "out.mp4"
    link.symlink_to(old)

    assert main(["run", "filters", str(clip), "-o", str(link)]) == 2
    assert old.read_text() == "old"
    assert main(["run", "filters", str(clip), "-o", str(link), "--overwrite"]) == 0

    assert link.is_symlink()
    assert probe(old).frame_count == 12


def test_a_result_whose_output_folder_vanished_is_kept(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says where the finished file is."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr("framepack.cli.commands.check_file", lambda *_, **__: folder.rmdir())

    assert main(["run", "filters", str(clip), "-o", str(folder / "out.mp4")]) == 1

    printed = capsys.readouterr().err
    kept = tmp_path / "temp" / "kept" / "out.mp4"
    assert f"could not be written (No such file or directory); the result is kept: {kept}" in printed
    assert probe(kept).frame_count == 12


def test_a_file_that_appears_during_the_run_is_not_replaced(tmp_path: Path) -> None:
    """The result is kept in the fallback folder, under a free name."""
    fallback_folder = tmp_path / "kept"
    for content in ("first", "second"):
        made, goal = tmp_path / "made", tmp_path / "goal.mp4"
        made.write_text(content)
        goal.write_text("somebody's")

        with pytest.raises(ResultNotMoved, match="has been created in the meantime"):
            move_result(made, goal, overwrite=False, fallback_folder=fallback_folder)

        assert goal.read_text() == "somebody's"

    assert (fallback_folder / "goal.mp4").read_text() == "first"
    assert (fallback_folder / "goal-2.mp4").read_text() == "second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["goal.mp4", "kept"]


def test_a_result_that_cannot_be_renamed_is_kept(tmp_path: Path) -> None:
    """A folder of this name appeared before the last step."""
    made, goal = tmp_path / "made", tmp_path / "goal.mp4"
    made.write_text("finished")
    (goal / "inner").mkdir(parents=True)

    with pytest.raises(ResultNotMoved) as raised:
        move_result(made, goal, overwrite=True, fallback_folder=tmp_path / "kept")

    assert (tmp_path / "kept" / "goal.mp4").read_text() == "finished"
    assert str(tmp_path / "kept" / "goal.mp4") in raised.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["goal.mp4", "kept"]


def test_an_existing_frame_folder_is_replaced_whole(tmp_path: Path) -> None:
    """No temporary folder remains beside it."""
    made, goal = tmp_path / "made", tmp_path / "goal"
    for folder, name in ((made, "new"), (goal, "old")):
        folder.mkdir()
        (folder / name).touch()

    move_result(made, goal, overwrite=True, fallback_folder=tmp_path / "kept")

    assert [path.name for path in goal.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["goal"]


def test_an_output_folder_for_frames_is_checked_before_any_work(tmp_path: Path) -> None:
    """A file, a folder with other files or a missing parent is refused; an empty folder is accepted."""
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "holiday.jpg").touch()
    own = frozenset({"frames.json"})

    check_new_folder(tmp_path / "empty", overwrite=False, known_names=own)
    check_new_folder(tmp_path / "new", overwrite=False, known_names=own)
    for name, sentence in (("file", "is a file"), ("full", "contains holiday.jpg"), ("no/such", "does not exist")):
        with pytest.raises(InvalidField, match=sentence):
            check_new_folder(tmp_path / name, overwrite=True, known_names=own)


def test_the_next_free_name_has_the_lowest_free_number(tmp_path: Path) -> None:
    """It is used when a file of the same name exists."""
    (tmp_path / "out.part.mp4").touch()
    (tmp_path / "out.part-2.mp4").touch()

    assert free_name(tmp_path / "out.part.mp4").name == "out.part-3.mp4"
    assert free_name(tmp_path / "new.mp4").name == "new.mp4"
