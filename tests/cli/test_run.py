"""``framepack run``: from files to files."""

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from framepack.cli import main
from framepack.media.read.probe import probe
from tests.support.clips import Spec, flat, make_clip, number_of
from tests.support.codings import encoded
from tests.support.readback import audio_of, beep_times, read_back
from tests.support.transparency import ALPHA, glass


def run(*arguments: object) -> int:
    """Run one command."""
    return main(["run", *map(str, arguments)])


def test_a_result_is_written_to_the_output_path(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its name is on stdout; progress and summary are on stderr. No working file remains."""
    target = tmp_path / "out.mp4"

    assert run("loop", clip, "-o", target, "--loop-type=loop", "--num_loops", 2) == 0

    printed = capsys.readouterr()
    assert printed.out == f"{target}\n"
    assert "36 of 36 frames" in printed.err
    assert f"{target}: 64 x 36, 36 frames" in printed.err
    assert probe(target).frame_count == 3 * 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "temp"]
    assert list((tmp_path / "temp").iterdir()) == []


@pytest.mark.parametrize("name", ["out.webm", "out.GIF"])
@pytest.mark.parametrize("operation", ["filters", "loop", "export", "join", "pipeline"])
def test_the_extension_of_the_output_selects_the_format(
    operation: str, name: str, clip: Path, tmp_path: Path
) -> None:
    """This works for every operation, with one encode."""
    options: dict[str, list[object]] = {
        "filters": ["--brightness", 5],
        "join": [clip],
        "pipeline": ["--operations", '[{"type": "loop"}]'],
    }

    assert run(operation, clip, *options.get(operation, ()), "-o", tmp_path / name) == 0

    kind = {"out.webm": "matroska", "out.GIF": "gif"}[name]
    info = probe(tmp_path / name)
    assert kind in info.container
    assert (info.width, info.height) == (64, 36)


def test_non_square_pixels_are_resized_in_formats_other_than_mp4(tmp_path: Path) -> None:
    """Only MP4 stores a pixel aspect ratio."""
    wide = make_clip(tmp_path / "wide.mp4", Spec(size=(64, 48), count=4, aspect=Fraction(2)))

    assert run("filters", wide, "-o", tmp_path / "out.webm") == 0

    info = probe(tmp_path / "out.webm")
    assert info.width / info.height == pytest.approx(128 / 48, rel=0.05)
    assert info.pixel_aspect == 1


@pytest.mark.parametrize(
    "options",
    [
        ["export", "--format", "WebM"],
        ["pipeline", "--operations", '[{"type": "export", "params": {"format": "webm"}}, {"type": "filters"}]'],
        ["pipeline-from-preset", "--preset", '{"active_steps": ["Export"], "params": {"export_format": "WebM"}}'],
    ],
    ids=lambda options: options[0],
)
def test_an_extension_that_contradicts_the_format_is_refused(
    options: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This is checked before any work. The options work with a matching extension, or without a format."""
    operation, *rest = options

    assert run(operation, clip, "-o", tmp_path / "out.mp4", *rest) == 2
    assert "the name of the result ends in .mp4; change one of them." in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()

    assert run(operation, clip, "-o", tmp_path / "out.webm", *rest) == 0
    assert "matroska" in probe(tmp_path / "out.webm").container


def test_presets_may_be_read_from_files(clip: Path, tmp_path: Path) -> None:
    """These are workflow presets, in both forms of the REST API, and filter presets. Options override controls."""
    workflow = {"active_steps": ["Frame Adjust", "Loop"], "params": {"num_loops": 2}}
    (tmp_path / "workflow.json").write_text(json.dumps({"name": "mine", "preset_data": workflow}))
    (tmp_path / "look.json").write_text(json.dumps({"brightness": 40, "contrast": 0}))

    assert run("pipeline-from-preset", clip, "-o", tmp_path / "w.mp4", "--preset", tmp_path / "workflow.json") == 0
    assert (
        run("filters", clip, "-o", tmp_path / "l.mp4", "--preset", tmp_path / "look.json", "--brightness", -40) == 0
    )

    assert probe(tmp_path / "w.mp4").frame_count == 36
    dark = read_back(tmp_path / "l.mp4").frames[3]
    assert dark.std() < 3
    assert dark.mean() < 127


def test_seconds_selects_a_section_with_its_audio(clip: Path, tmp_path: Path) -> None:
    """It has the frames that begin within it. A loop of a section is encoded, not copied."""
    assert run("filters", clip, "-o", tmp_path / "part.mp4", "--seconds", "0.16:0.32") == 0
    assert run("loop", clip, "-o", tmp_path / "loop.mp4", "--seconds", "0.4:") == 0

    frames = read_back(tmp_path / "part.mp4").frames
    samples, rate = audio_of(tmp_path / "part.mp4")
    assert [number_of(frame) for frame in frames] == [4, 5, 6, 7]
    assert len(samples) / rate == pytest.approx(0.16, abs=0.04)
    assert beep_times(tmp_path / "part.mp4") == pytest.approx([0.04], abs=0.015)
    assert [number_of(frame) for frame in read_back(tmp_path / "loop.mp4").frames] == [10, 11, 10, 11]


def test_join_takes_videos_in_the_order_given(tmp_path: Path) -> None:
    """Any number of videos can be joined."""
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    clips = [
        make_clip(tmp_path / f"{number}.mp4", Spec(size=(64, 36), count=5, frame=flat(color)))
        for number, color in enumerate(colors)
    ]

    assert run("join", *clips, "-o", tmp_path / "joined.mp4") == 0

    frames = read_back(tmp_path / "joined.mp4").frames
    assert [int(frame.mean(axis=(0, 1)).argmax()) for frame in frames] == [0] * 5 + [1] * 5 + [2] * 5


def test_several_inputs_are_written_into_a_folder(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unreadable one is reported and makes the exit status 1; the others are written."""
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    other = make_clip(tmp_path / "other.mp4", Spec(size=(64, 36), count=7))
    folder = tmp_path / "results"

    assert run("filters", clip, text, other, "-o", folder, "--blur", 1) == 1

    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(folder / "in.mp4"), str(folder / "other.mp4")]
    assert f"framepack: {text}: The file is text, not a video that can be read: MP4" in printed.err
    assert [probe(folder / name).frame_count for name in ("in.mp4", "other.mp4")] == [12, 7]

    assert run("filters", clip, clip, "-o", folder) == 2
    assert "Two results would have the name" in capsys.readouterr().err
    assert run("pipeline", clip, "-o", tmp_path / "x.gif", "--operations", '[{"type": "export"}]') == 0
    assert (
        run(
            "pipeline", clip, other, "-o", folder, "--operations", '[{"type": "export", "params": {"format": "gif"}}]'
        )
        == 0
    )
    assert sorted(path.name for path in folder.glob("*.gif")) == ["in.gif", "other.gif"]


def test_json_prints_the_answers_on_stdout(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file gives an object, several files a list."""
    assert run("analyze", clip) == 0
    analysis = json.loads(capsys.readouterr().out)["analysis"]
    assert (analysis["filename"], analysis["resolution"], analysis["total_frames"]) == ("in.mp4", "64x36", 12)
    assert run("analyze", clip, clip) == 0
    assert [each["success"] for each in json.loads(capsys.readouterr().out)] == [True, True]
    assert run("list-models") == 0
    assert "RealESRGAN_x4plus" in json.loads(capsys.readouterr().out)["models"]
    assert run("list-filter-presets") == 0
    assert "cinematic" in json.loads(capsys.readouterr().out)["presets"]


def test_the_json_answer_has_the_path_frames_and_duration(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths of the temporary store are removed. An error has its code."""
    target = tmp_path / "out.mp4"
    assert run("pipeline", clip, "-o", target, "--operations", '[{"type": "loop"}]', "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert {name: answer[name] for name in ("success", "output_path", "frames", "seconds", "width", "height")} == {
        "success": True,
        "output_path": str(target),
        "frames": 24,
        "seconds": 0.96,
        "width": 64,
        "height": 36,
    }
    assert [step["type"] for step in answer["operations_completed"]] == ["loop"]
    assert "output_url" not in answer
    assert "output_filename" not in answer

    assert run("upscale", clip, "-o", tmp_path / "x.mp4", "--model", "RealESRGAN_x2plus", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"error", "code"}
    assert answer["code"] == "model_unavailable"


def test_frames_are_extracted_and_reassembled(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The audio is kept. An existing folder is replaced only with --overwrite."""
    folder = tmp_path / "frames"
    assert run("extract-frames", clip, "-o", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 12
    assert len(list(folder.glob("frame_*.png"))) == 12
    assert {"contact-sheet.jpg", "frames.json", "audio.mka"} < {path.name for path in folder.iterdir()}

    assert run("extract-frames", clip, "-o", folder) == 2
    assert "is not empty; add --overwrite" in capsys.readouterr().err
    assert run("extract-frames", clip, "-o", folder, "--overwrite", "--extraction_rate", 2) == 0
    assert len(list(folder.glob("frame_*.png"))) == 6
    (folder / "mine.txt").write_text("mine")
    assert run("extract-frames", clip, "-o", folder, "--overwrite") == 2
    assert "contains mine.txt, which is not from an extraction" in capsys.readouterr().err

    assert (
        run("reassemble_frames", folder, "-o", tmp_path / "again.mp4", "--output-fps", 25, "--with-audio", "true")
        == 0
    )
    assert [number_of(each) for each in read_back(tmp_path / "again.mp4").frames] == [0, 2, 4, 6, 8, 10]
    assert probe(tmp_path / "again.mp4").audio is not None


def test_images_of_any_folder_become_a_video(clip: Path, tmp_path: Path) -> None:
    """They are taken in natural order. Other files in the folder are ignored, also what macOS puts beside images."""
    folder = tmp_path / "frames"
    folder.mkdir()
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0), start=1):
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(folder / f"shot {number}.png")
    (folder / "notes.txt").write_text("no frame")
    (folder / "._shot 1.png").write_bytes(b"\0\5\x16\7")

    assert run("reassemble-frames", folder, "-o", tmp_path / "out.gif", "--output-fps", 10, "--no-with-audio") == 0

    assert probe(tmp_path / "out.gif").frame_count == 12


def test_limits_apply_only_when_they_are_set(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The defaults protect servers, not the command line."""
    long = make_clip(tmp_path / "long.mp4", Spec(size=(32, 32), fps=Fraction(1), count=700))
    assert run("analyze", long) == 0

    monkeypatch.setenv("FRAMEPACK_MAX_SECONDS", "0.2")
    assert run("analyze", clip) == 1
    assert "at most 0.2 are allowed" in capsys.readouterr().err


def test_warnings_are_printed_with_the_name_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are printed on stderr."""
    whole = make_clip(tmp_path / "whole.mp4", Spec(size=(64, 48), count=25))
    cut = tmp_path / "cut.ts"
    data = make_clip(tmp_path / "full.ts", Spec(size=(64, 48), count=60)).read_bytes()
    cut.write_bytes(data[: len(data) // 3] + os.urandom(400) + data[len(data) // 3 + 400 :])

    assert run("join", whole, cut, "-o", tmp_path / "out.mp4") == 0

    assert f"Note: {cut}: " in capsys.readouterr().err


def test_transparency_is_kept_in_a_webm_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of the result is enough to say that it is one; with another one, a sentence says what is allowed."""
    source = encoded(tmp_path, ALPHA[3], glass, [(64, 48)], 2)

    assert run("export", source, "-o", tmp_path / "out.webm", "--keep-alpha") == 0
    assert run("export", source, "-o", tmp_path / "out.mp4", "--keep-alpha") != 0

    assert '--keep-alpha is only possible with format "WebM", not "MP4".' in capsys.readouterr().err
    assert probe(tmp_path / "out.webm").has_alpha
    assert not (tmp_path / "out.mp4").exists()
