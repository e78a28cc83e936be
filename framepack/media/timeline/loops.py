"""Loops: plain ones are a property of the timeline, ping-pong keeps the way forward on disk for the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.media.clip import ReversedAudio, Sequence
from framepack.media.timeline.spool import open_spool, recorded

if TYPE_CHECKING:
    from framepack.media.clip import Clip, Frame


def repeated(clip: Clip, plays: int) -> Clip:
    """The clip ``plays`` times in a row; nothing of it is computed more than once."""
    return replace(clip, repeats=clip.repeats * plays)


def unrolled(clip: Clip, folder: Path) -> Clip:
    """The clip with its repeats written out as frames; each is computed once and waits on disk for its repeats.

    Args:
        clip: Whose length is known, if it is repeated.
        folder: On which disk frames wait.
    """
    if clip.repeats == 1:
        return clip
    unit = replace(clip, repeats=1)

    def frames() -> Iterator[Frame]:
        with open_spool(unit, folder) as spool:
            yield from recorded(unit, spool)
            for index in range(len(spool) * (clip.repeats - 1)):
                yield spool[index % len(spool)]

    return replace(clip.unrolled(), frames=frames)


def ping_pong(clip: Clip, trips: int, folder: Path) -> Clip:
    """The clip forwards and backwards, ``trips`` times.

    The frames at both turns are shown once, so that F frames make trips of 2F - 2 that follow each other without
    a doubled frame; a single frame makes trips of one. The audio turns at the same instants. Each frame is
    computed once and waits on disk, without loss, for the way back.

    Args:
        clip: Whose length is known.
        trips: How often there and back.
        folder: On which disk frames wait.

    Raises:
        ValueError: The clip's length is unknown.
    """
    length, audio = clip.shown_frames, clip.audio
    if length is None:
        raise ValueError("a clip of unknown length cannot be turned")
    unit = replace(clip, repeats=1)

    def frames() -> Iterator[Frame]:
        with open_spool(unit, folder) as spool:
            yield from recorded(unit, spool)
            shown = len(spool) * clip.repeats
            for index in chain(range(len(spool), shown), range(shown - 2, 0, -1)):
                yield spool[index % len(spool)]

    if audio is not None and length > 2:  # noqa: PLR2004 - two frames have no way back
        forth = clip.unrolled().audio
        assert forth is not None  # noqa: S101 - unrolling keeps the audio
        back = ReversedAudio(forth, (length - 1) / clip.fps)
        audio = Sequence(((forth, length / clip.fps), (back, (length - 2) / clip.fps)))
    return replace(unit, frames=frames, length=max(1, 2 * length - 2), audio=audio, repeats=trips)
