"""Marks that only some outputs keep: it is said where they are lost, and nothing where they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from framepack.media.read.marks import has_captions
from tests.corpus.marks import CAPTION, captioned, stereo
from tests.support.runs import Bench, bench

_FILLING = CAPTION.replace(b"\xfc\x94\x2c", b"\xfc\x80\x80")
_LOST = "The closed captions within the video were lost."
_FEWER = "The closed captions within the video are only in some frames of the output."


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that encodes quickly."""
    return bench(tmp_path, video_preset="ultrafast")


def marked_frames(path: Path, kind: str) -> int:
    """Number of frames with side data of a kind, as PyAV decodes them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return sum(any(data.type.name == kind for data in frame.side_data) for frame in frames)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (CAPTION, True),
        (b"slice" + CAPTION + b"slice", True),
        (b"\0\0\1\xb2" + CAPTION[3:], True),
        (_FILLING, False),
        (CAPTION.replace(b"\xfc\x94", b"\xf8\x94"), False),
        (CAPTION[:8], False),
        (CAPTION[:11], False),
        (b"GA94\x03\x41\xff\xfc\x94\x2c", False),
    ],
    ids=["SEI", "within a packet", "MPEG-2", "filling", "not valid", "no count", "cut off", "no prefix"],
)
def test_captions_are_found_in_packets(data: bytes, *, expected: bool) -> None:
    """Only pairs of characters that are valid count."""
    assert has_captions(data) is expected


@pytest.mark.parametrize(
    ("operation", "fields", "expected", "sentence"),
    [
        ("loop", {"num_loops": 2}, 36, None),
        ("loop", {"loop_type": "ping-pong", "num_loops": 2}, 24, _FEWER),
        ("interpolate", {"fps_mode": "No Interpolation", "speed_factor": 2}, 6, _FEWER),
        ("export", {"format": "WebM"}, 0, _LOST),
        ("export", {"format": "MP4", "max_width": 256}, 12, None),
    ],
    ids=["repeated", "backwards", "twice as fast", "WebM", "MP4"],
)
def test_it_is_said_where_captions_are_lost(
    tmp_path: Path, worker: Bench, operation: str, fields: dict[str, Any], expected: int, sentence: str | None
) -> None:
    """The decoded output tells; a TS file is encoded, not copied."""
    answer = worker.run(operation, captioned(tmp_path, "a.ts"), **fields)

    assert marked_frames(worker.output(answer), "A53_CC") == expected
    assert answer.get("warnings") == (None if sentence is None else [sentence])


def test_nothing_is_said_about_captions_that_only_fill_the_time(tmp_path: Path, worker: Bench) -> None:
    """Broadcasts send them with each frame, whether or not somebody speaks."""
    answer = worker.run("export", captioned(tmp_path, "a.ts", _FILLING), format="WebM")

    assert "warnings" not in answer


def test_an_output_that_keeps_the_mark_for_3d_has_it_in_its_frames(tmp_path: Path, worker: Bench) -> None:
    """The encoder writes it into the key frame, and it holds up to the next one."""
    answer = worker.run("filters", stereo(tmp_path), sharpen=0.1)

    assert marked_frames(worker.output(answer), "STEREO3D") == 1
    assert "warnings" not in answer
