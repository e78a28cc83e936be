"""Transport streams that are too small for FFmpeg's probe."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from framepack.errors import InvalidMedia
from framepack.media.images.convert import to_rgb
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.transport_stream import is_small_transport_stream
from tests.support.clips import Spec, barred, bars_of, make_clip


@pytest.mark.parametrize("packet_bytes", [188, 192, 204])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_frame_of_a_small_transport_stream_is_shown(tmp_path: Path, count: int, packet_bytes: int) -> None:
    """Packets may have a time before them, or a checksum behind."""
    path = make_clip(tmp_path / "a.ts", Spec(count=count, codec="mpeg2video", frame=barred))
    packets = [path.read_bytes()[begin:][:188] for begin in range(0, path.stat().st_size, 188)]
    before, behind = {188: (0, 0), 192: (4, 0), 204: (0, 16)}[packet_bytes]
    path.write_bytes(b"".join(bytes(before) + packet + bytes(behind) for packet in packets))
    assert path.stat().st_size < 2100
    warnings: list[str] = []
    clip = open_clip(path, probe(path), warn=warnings.append)
    assert [bars_of(to_rgb(frame)) for frame in clip.frames()] == list(range(count))
    assert (clip.fps, warnings) == (Fraction(25), [])


def test_a_small_transport_stream_that_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    """Its last packet is not complete."""
    path = make_clip(tmp_path / "a.ts", Spec(count=2, codec="mpeg2video", frame=barred))
    path.write_bytes(path.read_bytes()[:-20])
    assert "The end of the file is missing or cannot be read." in probe(path).warnings


@pytest.mark.parametrize(
    "content", [b"", b"G" * 188, b"G" + b"a" * 187 + b"G" + b"a" * 400, b"x" * 1128, b"G" * 4096]
)
def test_other_small_files_are_no_transport_streams(tmp_path: Path, content: bytes) -> None:
    """Nothing is known of them, or that they are text."""
    path = tmp_path / "a.ts"
    path.write_bytes(content)
    assert not is_small_transport_stream(path)
    with pytest.raises(InvalidMedia, match="not a video that can be read"):
        probe(path)
