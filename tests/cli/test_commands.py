"""The commands beside ``run``, the help, and how wrong command lines are answered."""

import io
import json
import re
import time
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from framepack import __version__
from framepack.cli import main
from framepack.cli.display import DownloadDisplay
from framepack.cli.options import FileUsage, command_name, file_operations, file_usage, option_fields, refusal
from framepack.processing.operation import AnyOperation
from framepack.registry import discover
from tests.support.clips import Spec, make_clip

OFFERED = list(file_operations(discover()))


def test_version_prints_the_version_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else is printed."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"framepack {__version__}\n"


def test_run_lists_every_operation_or_says_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Operations on files are listed with one line each. Others are refused with a hint."""
    assert main(["operations"]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}

    for operation in discover():
        name = command_name(operation.name)
        if file_usage(operation) is not None:
            assert operation.summary in listed[name]
        else:
            assert name not in listed
            assert main(["run", operation.name, "x"]) == 2
            assert capsys.readouterr().err == f"framepack: {refusal(operation.name)}\n"


@pytest.mark.parametrize(("operation", "usage"), OFFERED, ids=lambda each: getattr(each, "name", ""))
def test_help_lists_every_field_of_an_operation(
    operation: AnyOperation, usage: FileUsage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Range, default and choices are those of the request model. Fields that are useless with files are omitted."""
    assert main(["run", command_name(operation.name), "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())

    properties = operation.request.model_json_schema().get("properties", {})
    for name in option_fields(operation, usage):
        field = properties[name]
        option = "--preset" if name == "preset_name" else f"--{command_name(name)}"
        assert f"{option} " in shown
        if "maximum" in field:
            assert f"[{field['minimum']:g} to {field['maximum']:g}" in shown
        for choice in field.get("enum", ()):
            assert str(choice) in shown
    for hidden in ("callback", "base64", "url", "output-name", "streaming"):
        assert f"--{hidden}" not in shown
        assert f"-{hidden} " not in shown
    assert ("--overwrite" in shown) == (usage.gives != "answer")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["run", "upscael", "IN"],
            "There is no operation 'upscael'. Did you mean 'upscale'? See: framepack run --help",
        ),
        (["wieghts"], "There is no command 'wieghts'. Did you mean 'weights'? See: framepack --help"),
        (["run", "filters", "IN", "-o", "OUT", "--brightnes", "3"], "Did you mean --brightness?"),
        (["run", "filters", "IN", "-o", "OUT", "--brightness", "loud"], "--brightness must be"),
        (
            ["run", "filters", "IN", "-o", "OUT", "--brightness=300"],
            "--brightness must be between -100 and 100, not 300.",
        ),
        (["run", "filters", "IN", "-o", "OUT", "--brightness"], "requires an argument"),
        (["run", "filters", "IN", "-o", "OUT", "--preset", "no-such.json"], "no-such.json cannot be read"),
        (["run", "filters", "IN", "-o", "OUT", "--preset", "IN.json"], "cannot be read"),
        (["run", "pipeline", "IN", "-o", "OUT"], "--operations is required."),
        (["run", "pipeline", "IN", "-o", "OUT", "--operations", "[{"], "is not valid JSON"),
        (["run", "pipeline", "IN", "-o", "OUT", "--operations", '[{"type": "uscale"}]'], "Valid types: upscale"),
        (["run", "pipeline-from-preset", "IN", "-o", "OUT", "--preset", '{"steps": []}'], "Unknown field 'steps'"),
        (["run", "loop", "missing.mp4", "-o", "OUT"], "missing.mp4 does not exist."),
        (["run", "loop", "FOLDER", "-o", "OUT"], "is not a file."),
        (["run", "loop", "-o", "OUT"], "Missing argument 'IN'. See: framepack run loop --help"),
        (["run", "loop", "IN"], "Give the result with -o: framepack run loop in.mp4 -o out.mp4"),
        (["run", "loop", "IN", "out.mp4"], "/in.mp4 -o out.mp4"),
        (["run", "loop", "IN", "-o", "OUT", "--seconds", "5"], "--seconds must be FROM:TO in seconds"),
        (["run", "loop", "IN", "-o", "OUT", "--seconds", "3:2"], "--seconds must end after it begins"),
        (["run", "loop", "IN", "-o", "OUT", "--seconds", "7:8"], "it lasts 0.48 s."),
        (["run", "join", "IN", "-o", "OUT"], "join takes at least two videos"),
        (["run", "reassemble-frames", "FOLDER", "-o", "OUT"], "contains no images"),
        (["run", "upscale", "IN", "-o", "OUT", "--model", "x"], "Invalid model 'x'. Valid models: RealESRGAN_x2plus"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_wrong_command_line_exits_2_with_one_sentence(
    arguments: list[str], sentence: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, and the message names only options that exist."""
    (tmp_path / "folder").mkdir()
    places = {"IN": str(clip), "OUT": str(tmp_path / "out.mp4"), "FOLDER": str(tmp_path / "folder")}

    assert main([places.get(each, each) for each in arguments]) == 2

    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("framepack: ")]
    assert len(lines) == 1
    assert sentence in lines[0]
    assert printed.out == ""
    assert not re.search(r"callback|base64|video_url|Traceback", printed.err)
    assert not (tmp_path / "out.mp4").exists()


def test_a_wrong_command_line_with_json_prints_a_json_error(capsys: pytest.CaptureFixture[str]) -> None:
    """It has the same message and the error code, and goes to stdout."""
    assert main(["run", "upscale", "--scale-factr", "2", "--json"]) == 2

    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer["code"], printed.err) == ("invalid_field", "")
    assert answer["error"].startswith("No such option: --scale-factr. Did you mean --scale-factor?")


def test_a_wrong_setting_exits_2_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the variable."""
    monkeypatch.setenv("FRAMEPACK_DEVICE", "gpu")

    assert main(["weights", "list"]) == 2
    assert capsys.readouterr().err == "framepack: FRAMEPACK_DEVICE must be auto, cpu, cuda or cuda:N, not 'gpu'.\n"


def test_an_unknown_setting_is_reported_and_ignored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command still runs."""
    monkeypatch.setenv("FRAMEPACK_WEIGHT_DIR", "x")

    assert main(["run", "list-filter-presets"]) == 0
    assert "FRAMEPACK_WEIGHT_DIR" in capsys.readouterr().err


def test_weights_are_listed_with_the_folder_of_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The output has a header, one line per published file, and a total."""
    assert main(["weights", "list"]) == 0

    head, *lines, total = capsys.readouterr().out.splitlines()
    places = {line.split()[1]: line for line in lines}
    assert head.split() == ["MODEL", "FILE", "SIZE", "WHERE", "LICENSE"]
    assert "in a package" in places["RealESRGAN_x4plus.pth"]
    assert "missing" in places["RealESRGAN_x2plus.pth"]
    assert "realesr-general-wdn-x4v3.pth" in places
    assert total.startswith(f"{len(lines)} files of ")

    assert main(["weights", "list", "--json"]) == 0
    assert {each["filename"] for each in json.loads(capsys.readouterr().out)} == set(places)


def test_fetching_unreachable_weights_fails_and_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is 1."""
    assert main(["weights", "fetch", "RealESRGAN_x2plus"]) == 1

    printed = capsys.readouterr()
    assert "RealESRGAN_x2plus.pth" in printed.out
    assert printed.err == "framepack: Not all weights could be fetched.\n"


def test_an_unknown_model_is_refused_with_the_known_models(capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists the known models."""
    assert main(["weights", "fetch", "RealESRGAN_x3plus"]) == 2
    assert "RealESRGAN_x4plus" in capsys.readouterr().err


def test_a_download_shows_its_progress(tmp_path: Path) -> None:
    """On a terminal it is a bar with the downloaded bytes, otherwise one line at the start."""
    part = tmp_path / ".a.pth.part"
    part.write_bytes(bytes(3_000_000))
    screen, pipe = (io.StringIO() for _ in range(2))

    for stream, is_terminal in ((screen, True), (pipe, False)):
        fetching = DownloadDisplay(Console(file=stream, force_terminal=is_terminal, width=120))
        with fetching.active():
            fetching.begin("a.pth", 6_000_000, part)
            deadline = time.monotonic() + 30
            while is_terminal and "3.0/6.0 MB" not in stream.getvalue() and time.monotonic() < deadline:
                time.sleep(0.05)
            fetching.say("a.pth: fetched")

    assert "3.0/6.0 MB" in screen.getvalue()
    assert pipe.getvalue() == "Fetching a.pth (6.0 MB) ...\na.pth: fetched\n"


def test_the_doctor_prints_each_finding_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json they are a JSON list. The exit status is 1 if there is an error."""
    monkeypatch.setenv("FRAMEPACK_STORAGE", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("FRAMEPACK_DEVICE", "cpu")
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in {"ok", "warning"} for line in lines)

    (tmp_path / "file").touch()
    monkeypatch.setenv("FRAMEPACK_STORAGE", f"file:{tmp_path / 'file' / 'store'}")
    assert main(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert len(findings) == len(lines)
    assert "error" in {each["state"] for each in findings if each["name"] == "store"}


def test_compare_draws_two_videos_side_by_side(tmp_path: Path) -> None:
    """The image has whole frames and details of both videos, at the same size."""
    before = make_clip(tmp_path / "before.mp4", Spec(size=(64, 36), count=20))
    after = make_clip(tmp_path / "after.mp4", Spec(size=(256, 144), count=20))

    assert main(["compare", str(before), str(after), str(tmp_path / "frame.png"), "--second", "0.2"]) == 0

    with Image.open(tmp_path / "frame.png") as frame:
        assert frame.size == (1284, 752)


@pytest.mark.parametrize(
    ("after", "frame", "sentence"),
    [
        ("text.mp4", "frame.png", "text.mp4: The file is text, not a video that can be read: MP4"),
        ("in.mp4", "no/such/frame.png", "does not exist; make it first: mkdir -p"),
        ("missing.mp4", "frame.png", "missing.mp4 is not a file."),
        ("in.mp4", "frame.xyz", "must end in .png."),
    ],
)
def test_compare_refuses_unusable_files_with_one_sentence(
    after: str, frame: str, sentence: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """These are files that are not videos, folders, missing files, and image formats that are not supported."""
    (tmp_path / "text.mp4").write_text("no video")

    assert main(["compare", str(clip), str(tmp_path / after), str(tmp_path / frame)]) > 0

    printed = capsys.readouterr().err
    assert sentence in printed
    assert printed.count("\n") == 1


def test_an_unexpected_error_names_the_file_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    """With --debug the traceback is printed instead."""
    monkeypatch.setattr("framepack.processing.render.probe", _broken)

    assert main(["run", "analyze", str(clip)]) == 1
    printed = capsys.readouterr().err
    found = re.search(r"\(ModuleNotFoundError: No module named 'spandrel'\); the traceback is in (\S+),", printed)
    assert found is not None
    assert "in _broken" in Path(found[1]).read_text()

    assert main(["run", "analyze", str(clip), "--debug"]) == 1
    assert "in _broken" in capsys.readouterr().err


def _broken(*_: object, **_options: object) -> None:
    raise ModuleNotFoundError("No module named 'spandrel'")
