"""Looping a clip: plain loops only set ``Clip.repeats``; ping-pong loops cache the forward frames on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.media.clip import AudioSequence, ReversedAudio
from framepack.media.timeline.frame_cache import cache_frames, open_frame_cache

if TYPE_CHECKING:
    from framepack.media.clip import Clip, Frame


def repeated(clip: Clip, plays: int) -> Clip:
    """The clip played ``plays`` times; its frames are computed and encoded once."""
    return replace(clip, repeats=clip.repeats * plays)


def expand_repeats_cached(clip: Clip, folder: Path) -> Clip:
    """``Clip.expand_repeats`` without repeated work: each frame is computed once and cached on disk.

    Args:
        clip: The clip; if it is repeated, its length is known.
        folder: The folder on whose disk frames are cached.
    """
    if clip.repeats == 1:
        return clip
    unit = replace(clip, repeats=1)

    def frames() -> Iterator[Frame]:
        with open_frame_cache(unit, folder) as cache:
            yield from cache_frames(unit, cache)
            for index in range(len(cache) * (clip.repeats - 1)):
                yield cache[index % len(cache)]

    return replace(clip.expand_repeats(), frames=frames)


def ping_pong(clip: Clip, round_trips: int, folder: Path) -> Clip:
    """The clip played forwards and then backwards, ``round_trips`` times.

    The first and the last frame are shown once at each turn: a round trip of F frames has 2F - 2 frames, or one if
    F is 1. The audio turns at the same times. Each frame is computed once and cached on disk, losslessly, for the
    way back.

    Args:
        clip: A clip of known length.
        round_trips: How many times it plays forwards and backwards.
        folder: The folder on whose disk frames are cached.

    Raises:
        ValueError: The clip's length is unknown.
    """
    length, audio = clip.total_frames, clip.audio
    if length is None:
        raise ValueError("a clip of unknown length cannot be played backwards")
    unit = replace(clip, repeats=1)

    def frames() -> Iterator[Frame]:
        with open_frame_cache(unit, folder) as cache:
            yield from cache_frames(unit, cache)
            shown = len(cache) * clip.repeats
            for index in chain(range(len(cache), shown), range(shown - 2, 0, -1)):
                yield cache[index % len(cache)]

    if audio is not None and length > 2:  # noqa: PLR2004 - two frames have no way back
        forward = clip.expand_repeats().audio
        assert forward is not None  # noqa: S101 - expanding keeps the audio
        backward = ReversedAudio(forward, (length - 1) / clip.fps)
        audio = AudioSequence(((forward, length / clip.fps), (backward, (length - 2) / clip.fps)))
    marks = clip.marks * (2 if length > 2 else 1)  # noqa: PLR2004
    length = max(1, 2 * length - 2)
    return replace(unit, frames=frames, length=length, audio=audio, marks=marks, repeats=round_trips)
