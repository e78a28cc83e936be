"""``analyze`` gives the documented object."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from tests.support.clips import AudioSpec, Spec, make_clip, real_clip
from tests.support.runs import bench


def test_a_real_clip_is_described(tmp_path: Path) -> None:
    """Every documented key is there, in the document's words."""
    answer = bench(tmp_path).run("analyze", real_clip("bigbuckbunny"))

    assert answer == {
        "success": True,
        "analysis": {
            "filename": "video.mp4",
            "file_size": "1.0 MB",
            "duration": "5.3 seconds",
            "resolution": "1280x720",
            "fps": 25.0,
            "codec": "h264",
            "has_alpha": False,
            "bitrate": answer["analysis"]["bitrate"],
            "has_audio": True,
            "audio_codec": "aac",
            "total_frames": 132,
        },
    }
    assert re.fullmatch(r"1\.\d Mbps", answer["analysis"]["bitrate"])


def test_a_silent_clip_says_so(tmp_path: Path) -> None:
    """Without audio there is no codec, and the rate is exact to three digits."""
    source = make_clip(tmp_path / "source.mp4", Spec(fps=Fraction(30000, 1001), count=30))

    analysis = bench(tmp_path).run("analyze", source)["analysis"]

    assert (analysis["has_audio"], analysis["audio_codec"]) == (False, None)
    assert (analysis["fps"], analysis["total_frames"]) == (29.97, 30)


def test_resolution_is_what_a_viewer_sees(tmp_path: Path) -> None:
    """A clip turned by its metadata is described upright."""
    source = make_clip(tmp_path / "source.mp4", Spec(size=(64, 48), rotation=90, count=3))

    assert bench(tmp_path).run("analyze", source)["analysis"]["resolution"] == "48x64"


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_containers_and_their_audio(tmp_path: Path, suffix: str) -> None:
    """MP4, WebM and Matroska are understood."""
    codec = "libopus" if suffix == ".webm" else "aac"
    source = make_clip(tmp_path / f"source{suffix}", Spec(count=10, audio=AudioSpec(codec=codec, seconds=0.4)))

    analysis = bench(tmp_path).run("analyze", source)["analysis"]

    assert analysis["audio_codec"] == codec.removeprefix("lib")
    assert analysis["total_frames"] == 10


def test_something_else_is_refused(tmp_path: Path) -> None:
    """A file that is no video gets one sentence."""
    source = tmp_path / "page.html"
    source.write_text("<html>not a video</html>")

    answer = bench(tmp_path).run("analyze", source)

    assert (answer["code"], answer["status"]) == ("invalid_media", 400)
