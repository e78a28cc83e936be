"""The frame cache: lossless, in any order, and clear errors if the disk is full."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from framepack.errors import DiskFull
from framepack.media.clip import Colors, HostFrame, Matrix
from framepack.media.frames.arrays import planes_of
from framepack.media.timeline import frame_cache
from framepack.media.timeline.frame_cache import FrameCache, cache_frames, open_frame_cache
from tests.support.clips import numbered, to_frame
from tests.support.looping import CountingFrames

FORMATS = [f"yuv{layout}p{depth}" for layout in (420, 422, 444) for depth in ("", "10le", "12le")]


@pytest.mark.parametrize("plain_bytes", [0, 40_000, 10**9])
@pytest.mark.parametrize("size", [(64, 48), (61, 47), (2, 2), (1, 1), (1, 5)])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_frames_are_read_back_losslessly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pix_fmt: str, size: tuple[int, int], plain_bytes: int
) -> None:
    """Every sample of every format and size, in any order, with the clip's colors, encoded, plain or both."""
    monkeypatch.setattr(frame_cache, "_MAX_PLAIN_BYTES", plain_bytes)
    colors = Colors(Matrix.BT2020, 9, 14, full_range=True)
    clip = replace(CountingFrames(5, size, pix_fmt).clip(), colors=colors)
    with open_frame_cache(clip, tmp_path) as cache:
        given = list(cache_frames(clip, cache))
        assert len(cache) == 5
        for index in (4, 0, 3, 3, 1, 2):
            back = cache[index].on_host()
            assert (back.format.name, back.width, back.height) == (pix_fmt, *size)
            assert (back.colorspace, back.color_primaries, back.color_trc, back.color_range) == (9, 9, 14, 2)
            for name in ("y", "u", "v"):
                before, after = (getattr(planes_of(frame), name) for frame in (given[index].on_host(), back))
                assert np.array_equal(before, after)
    assert list(tmp_path.iterdir()) == []


def test_a_duplicated_frame_is_stored_once(tmp_path: Path) -> None:
    """A still costs no disk, and is one object again."""
    still = HostFrame(to_frame(numbered(0, 64, 48), "yuv420p"))
    clip = replace(CountingFrames(0).clip(), frames=lambda: iter([still] * 100), length=100)
    with open_frame_cache(clip, tmp_path) as cache:
        list(cache_frames(clip, cache))
        assert len(cache) == 100
        assert len(cache._ends) == 2
        assert cache[7] is cache[93]


@pytest.mark.parametrize("plain", [0, 3, 10])
def test_frames_beyond_the_limit_are_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: int) -> None:
    """As many as the limit allows are stored as they are; the others take less room."""
    size_bytes = 64 * 48 * 3 // 2
    monkeypatch.setattr(frame_cache, "_MAX_PLAIN_BYTES", (plain + 1) * size_bytes - 1)
    clip = CountingFrames(10, (64, 48), "yuv420p").clip()
    with open_frame_cache(clip, tmp_path) as cache:
        list(cache_frames(clip, cache))
        sizes = [end - begin for begin, end in pairwise(cache._ends)]
    assert sizes[:plain] == [size_bytes] * plain
    assert all(size < size_bytes for size in sizes[plain:])


def test_append_does_not_change_the_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timestamp is kept."""
    monkeypatch.setattr(frame_cache, "_MAX_PLAIN_BYTES", 0)
    frame = to_frame(numbered(0, 64, 48), "yuv420p")
    frame.pts = 77
    with open_frame_cache(CountingFrames(1).clip(), tmp_path) as cache:
        cache.append(HostFrame(frame))
    assert frame.pts == 77


def test_too_little_disk_raises_before_work_begins(tmp_path: Path) -> None:
    """The estimate is compared with what is free."""
    clip = replace(CountingFrames(1).clip(), length=10**12)
    with pytest.raises(DiskFull, match="MB of disk"), open_frame_cache(clip, tmp_path):
        pytest.fail("nothing of this fits")


def test_a_disk_that_fills_up_raises() -> None:
    """One error, with its own status."""
    with Path("/dev/full").open("r+b", buffering=0) as full:
        cache = FrameCache(full, CountingFrames(1).clip())
        frames = CountingFrames(1).clip().frames()
        with closing(frames), pytest.raises(DiskFull, match="no room"):  # type: ignore[type-var] # a generator
            cache.append(next(frames))
