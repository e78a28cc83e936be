"""What all tests of the command line share."""

from pathlib import Path

import pytest

from tests.support.clips import AudioSpec, Spec, make_clip, numbered


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder, nothing may be fetched, and working files below the test's folder."""
    monkeypatch.setenv("FRAMEPACK_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("FRAMEPACK_WEIGHTS_DOWNLOAD", "false")
    monkeypatch.setenv("FRAMEPACK_TEMP_DIR", str(tmp_path / "temp"))
    return tmp_path / "weights"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of 12 numbered frames, with audio."""
    spec = Spec(size=(64, 36), count=12, frame=numbered, audio=AudioSpec(seconds=0.48, beeps=(0.2,)))
    return make_clip(tmp_path / "in.mp4", spec)
