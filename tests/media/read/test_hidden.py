"""Packets that hold no frame that is shown."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import pytest

from framepack.media.read.hidden import is_shown
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from tests.support.clips import Spec, barred, bars_of, make_clip
from tests.support.readback import rgb_of


@pytest.mark.parametrize("kind", [0x80, 0x81, 0x82])
def test_headers_of_theora_are_no_frames(kind: int) -> None:
    """Identification, comment and setup header have the highest bit set; frames do not."""
    assert not is_shown("theora", av.Packet(bytes([kind]) + b"theora"))
    assert is_shown("theora", av.Packet(bytes([0x40]) + b"frame"))
    assert is_shown("mpeg4", av.Packet(bytes([kind]) + b"theora"))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg command line, which encodes Theora")
def test_a_chained_ogg_file_has_the_frames_of_its_parts(tmp_path: Path) -> None:
    """Two Ogg files in a row: every frame once, and no word about damage."""
    source, part = make_clip(tmp_path / "plain.mp4", Spec(count=12, frame=barred)), tmp_path / "part.ogv"
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-c:v", "libtheora", "-q:v", "9", "-g", "6", str(part)]
    subprocess.run(command, check=True)
    chained = tmp_path / "chained.ogv"
    chained.write_bytes(part.read_bytes() * 2)
    warnings: list[str] = []
    info = probe(chained)
    clip = open_clip(chained, info, warn=warnings.append)
    assert [bars_of(rgb_of(frame.on_host())) for frame in clip.frames()] == [*range(12), *range(12)]
    assert info.frame_count == 24
    assert warnings == ["The file's clock starts anew or jumps once; its parts follow each other without a gap."]
