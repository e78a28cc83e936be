"""What people type and have by accident: each is one true sentence, and never a defect."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from framepack.cli import main
from framepack.cli.target import ResultNotMoved, move_result
from tests.support.control_plane import ROOT
from tests.support.locked_out import as_ordinary_user


def command(*arguments: str, prefix: Sequence[str] = (), **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, behind a prefix such as `as_ordinary_user()`."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "framepack", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["filters", "IN", "-o", ".mp4"],
            ".mp4: the name of the result must end in .mp4, .webm or .gif, as in out.mp4",
        ),
        (["filters", "", "-o", "out.mp4"], "The name of a file is empty."),
        (
            ["filters", "IN", "-o", "dangling.mp4"],
            "is a link to nowhere.mp4, which does not exist; name another file.",
        ),
        (
            ["filters", "IN", "IN", "-o", "several"],
            "Two results would have the name several/in.mp4; run them one by one.",
        ),
        (["filters", "IN", "OTHER", "-o", "new.mp4"], "new.mp4 is the name of a file, but the result is a folder"),
        (["extract-frames", "IN", "-o", "new.mp4"], "new.mp4 is the name of a file, but the result is a folder"),
        (["filters", "IN", "-o", "out.mp4", "--preset", "wram"], "not 'wram'; did you mean warm?"),
        (["filters", "IN", "-o", "out.mp4", "--seconds", "1e999:"], "--seconds must be FROM:TO in seconds"),
        (["filters", "IN", "-o", "out.mp4", "--seconds", "1e999999999:"], "--seconds must be FROM:TO in seconds"),
        (["filters", "IN", "-o", "out.mp4", "--seconds", "5:1"], "--seconds must end after it begins, not '5:1'."),
        (["analyze", "IN", "--seconds", "0:1"], "No such option: --seconds. See: "),
        (["enhance-prompt", ""], "--prompt must be text of 1 to 10,000 characters, not ''."),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_an_invalid_command_is_refused_before_any_file_is_made(
    arguments: list[str],
    sentence: str,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The exit status is 2, and the folder is unchanged."""
    monkeypatch.chdir(tmp_path)
    Path("dangling.mp4").symlink_to("nowhere.mp4")
    shutil.copy(clip, "other.mp4")
    names = {"IN": "in.mp4", "OTHER": "other.mp4"}

    assert main(["run", *(names.get(each, each) for each in arguments)]) == 2

    printed = capsys.readouterr().err
    assert sentence in printed
    assert printed.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling.mp4", "in.mp4", "other.mp4"]


def test_a_built_in_preset_is_found_in_any_case(clip: Path, tmp_path: Path) -> None:
    """The API does the same."""
    assert main(["run", "filters", str(clip), "-o", str(tmp_path / "out.mp4"), "--preset", " Warm"]) == 0


def test_a_json_file_may_begin_with_a_byte_order_mark(clip: Path, tmp_path: Path) -> None:
    """Some editors write it."""
    steps = tmp_path / "steps.json"
    steps.write_text('[{"type": "loop"}]', encoding="utf-8-sig")
    assert main(["run", "pipeline", str(clip), "-o", str(tmp_path / "out.mp4"), "--operations", str(steps)]) == 0


def test_one_frame_is_reported_in_the_singular(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This holds for the progress and the summary."""
    target = tmp_path / "out.mp4"
    assert main(["run", "filters", str(clip), "-o", str(target), "--seconds", "0:0.01"]) == 0
    printed = capsys.readouterr().err
    assert "1 of 1 frame, " in printed
    assert f"{target}: 64 x 36, 1 frame, " in printed


def test_a_file_without_read_permission_is_reported_as_such(clip: Path, tmp_path: Path) -> None:
    """The message does not call it damaged or missing, even if the folder is not readable."""
    closed = tmp_path / "closed"
    closed.mkdir()
    shutil.copy(clip, closed / "in.mp4")
    clip.chmod(0)
    closed.chmod(0)
    for path in (clip, closed / "in.mp4"):
        temp = str(tmp_path / "temp")
        done = command("run", "analyze", str(path), prefix=as_ordinary_user(), FRAMEPACK_TEMP_DIR=temp)
        assert (done.returncode, done.stderr) == (
            2,
            f"framepack: {path} cannot be read: Permission denied.\n".encode(),
        )


def test_an_unusable_working_folder_is_named_with_its_setting(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """This is checked before any work."""
    monkeypatch.setenv("FRAMEPACK_TEMP_DIR", "/proc/nothing")
    assert main(["run", "filters", str(clip), "-o", str(tmp_path / "out.mp4")]) == 1
    assert "The working folder /proc/nothing (FRAMEPACK_TEMP_DIR) cannot be written: " in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_reported_once_not_per_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the reason of the operating system."""
    made = tmp_path / "made"
    made.mkdir()
    reason = "[Errno 28] No space left on device: '/a/frame_000000.png' -> '/b/frame_000000.png'"

    def move(*_: object) -> None:
        raise shutil.Error([("/a/frame_000000.png", "/b/frame_000000.png", reason)] * 100)

    monkeypatch.setattr(shutil, "move", move)
    with pytest.raises(ResultNotMoved) as refused:
        move_result(made, tmp_path / "target", overwrite=False, fallback_folder=tmp_path / "kept" / "target")
    assert refused.value.message == (
        f"{tmp_path}/target could not be written (No space left on device); the result is kept: {made}"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_stdout_has_valid_json_and_file_names_in_every_locale(encoding: str, clip: Path, tmp_path: Path) -> None:
    """File names are printed with the bytes of the file system."""
    source = clip.rename(tmp_path / "ü 日本.mp4")
    target = tmp_path / "ö日.mp4"

    asked = command("run", "analyze", str(source), PYTHONIOENCODING=encoding)
    made = command("run", "filters", str(source), "-o", str(target), PYTHONIOENCODING=encoding)

    assert (asked.returncode, made.returncode) == (0, 0)
    assert json.loads(asked.stdout.decode(encoding))["analysis"]["filename"] == source.name
    assert made.stdout == os.fsencode(target) + b"\n"


def test_a_user_without_a_home_folder_gets_default_folders(tmp_path: Path) -> None:
    """Containers may run as users without an entry in /etc/passwd."""
    shutil.copytree(ROOT / "framepack", tmp_path / "installed" / "framepack")
    script = "import os, pwd; pwd.getpwuid = {}.__getitem__; from framepack.settings import load_settings; "
    script += "settings = load_settings(); print(settings.storage, settings.weights_dir, settings.temp_dir)"
    environment = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_DATA_HOME"}}
    environment = {name: value for name, value in environment.items() if not name.startswith("FRAMEPACK_")}
    environment |= {"PYTHONPATH": str(tmp_path / "installed"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    own = tmp_path / f"framepack-{os.getuid()}"
    assert (done.stdout, done.stderr) == (f"file:{own}/outputs {own}/weights {own}\n", "")


def test_fetching_an_unknown_model_exits_2_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    """The message suggests the similar name."""
    assert main(["weights", "fetch", "rife_v4.26"]) == 2
    assert capsys.readouterr().err.endswith("Did you mean RIFE_v4.25?\n")


def test_weights_that_cannot_be_written_are_reported_with_folder_and_setting(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the setting to change."""
    folder = clip / "weights"
    monkeypatch.setenv("FRAMEPACK_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("FRAMEPACK_WEIGHTS_DOWNLOAD", "true")
    assert main(["run", "interpolate", str(clip), "-o", str(tmp_path / "out.mp4")]) == 1
    printed = capsys.readouterr().err
    assert (
        f"cannot be written to {folder} (Not a directory): set FRAMEPACK_WEIGHTS_DIR to a folder that can be"
        in printed
    )


@pytest.mark.parametrize("command", [["--version"], ["operations"], ["run", "analyze", "{clip}"], ["doctor"]])
def test_a_full_disk_behind_standard_output_is_named(clip: Path, command: list[str]) -> None:
    """The system's message alone does not say which of several files has no room."""
    arguments = [each.format(clip=clip) for each in command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "framepack", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == "framepack: Standard output cannot be written: No space left on device.\n"
    assert done.returncode == 1


def test_a_full_disk_behind_standard_output_keeps_the_result(clip: Path, tmp_path: Path) -> None:
    """Only its name could not be printed."""
    target = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "framepack", "run", "loop", str(clip), "-o", str(target)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr.endswith("framepack: Standard output cannot be written: No space left on device.\n")
    assert done.returncode == 1
    assert target.stat().st_size > 0


def test_a_full_disk_behind_the_working_folder_is_named(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is often another disk than that of the result."""
    monkeypatch.setenv("FRAMEPACK_TEMP_DIR", str(tmp_path / "work"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("framepack.cli.local.FileOutputs.publish", full)
    assert main(["run", "loop", str(clip), "-o", str(tmp_path / "out.mp4")]) == 1
    place = f"The disk of the working folder {tmp_path / 'work'} (FRAMEPACK_TEMP_DIR)"
    assert capsys.readouterr().err.splitlines()[-1] == f"framepack: {place} is full."
    assert not (tmp_path / "out.mp4").exists()


def test_an_image_that_cannot_be_written_keeps_the_existing_file(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk becomes full while it is written. The message names the file."""
    target = tmp_path / "out.png"
    target.write_text("an older image")

    def full(_image: object, path: Path, *_: object, **__: object) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert main(["compare", str(clip), str(clip), str(target)]) == 1
    assert capsys.readouterr().err == f"framepack: {target} could not be written: no space left on device.\n"
    assert target.read_text() == "an older image"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.png"]


def test_the_doctor_reports_an_unknown_variable_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a finding, and is not logged as well."""
    monkeypatch.setenv("FRAMEPACK_STORAG", "s3://bucket")
    main(["doctor"])
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("FRAMEPACK_STORAG is not a setting") == 1
