"""Channels of audio: which layout outputs have, and how other layouts are mixed to it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.audio.layout import AudioLayout

MAX_SOURCE_CHANNELS: Final = 64
"""Number of channels that FFmpeg's filters can mix."""

LAYOUTS: Final[dict[str, tuple[str, ...]]] = {
    "mono": ("FC",),
    "stereo": ("FL", "FR"),
    "3.0": ("FL", "FR", "FC"),
    "quad": ("FL", "FR", "BL", "BR"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "6.1": ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
"""The layouts of outputs with their channels, by FFmpeg's names; the number of channels is the place."""

MAX_CHANNELS: Final = len(LAYOUTS)
"""Number of channels of an output; more are mixed."""

Places = tuple[tuple[str, ...], ...]
"""Places for a channel, the best first: channels of an output that get it."""

_NAMES: Final = tuple(LAYOUTS)
_HALF: Final = sqrt(0.5)
_BACK: Final[Places] = (("BL", "BR"), ("SL", "SR"))
# Where a channel goes if an output does not have it: the first of these places that the output has.
_ELSEWHERE: Final[dict[str, Places]] = {
    "FC": (("FL", "FR"),),
    "BC": _BACK,
    "TBC": (("BC",), *_BACK),
    "LFE2": (("LFE",),),
    **dict.fromkeys(("TC", "TFC", "BFC", "LFE"), (("FC",), ("FL", "FR"))),
    **{
        name + side: ((front + side,), ("FL",) if side == "L" else ("FR",))
        for side in "LR"
        for name, front in (
            ("B", "S"),
            ("S", "B"),
            ("TB", "B"),
            ("TS", "S"),
            ("TT", "S"),
            ("SD", "S"),
            ("SS", "S"),
            ("TF", "F"),
            ("BF", "F"),
            ("W", "F"),
            ("D", "F"),
        )
    },
    "FLC": (("FL",),),
    "FRC": (("FR",),),
}
# The places that are as good as its own.
_AS_GOOD: Final[dict[str, Places]] = {
    "BC": _BACK,
    "BL": (("SL",),),
    "BR": (("SR",),),
    "SL": (("BL",),),
    "SR": (("BR",),),
    "DL": (("FL",),),
    "DR": (("FR",),),
}
_NEARLY: Final = 1 - 1e-9  # where all shares are 1, the pan filter converts the layout once more
# Layouts that are never custom ones: demuxers replace a custom one by FFmpeg's own if that has the same order.
_KNOWN: Final = frozenset((*LAYOUTS.values(), ("FL", "FR", "FC", "LFE", "SL", "SR")))
_AMBISONIC: Final = "AMBI"
_UNNAMED: Final = "NONE"
_SPHERE: Final = {"AMBI0": (0.5, 0.5), "AMBI1": (0.5, -0.5)}  # the others are front, back, above and below: no side

Shares = list[dict[str, float]]
"""For each channel of a source, its share in channels of an output."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How the audio of a source becomes that of an output.

    Attributes:
        layout: FFmpeg's name of the output's layout, one of ``LAYOUTS``.
        pan: Arguments of the pan filter, which mixes the channels; empty if they are those of the output.
        is_lossy: Whether channels share a channel of the output.
    """

    layout: str
    pan: str = ""
    is_lossy: bool = False

    @property
    def channels(self) -> int:
        """Number of channels of the output."""
        return len(LAYOUTS[self.layout])


def channel_names(layout: AudioLayout) -> tuple[str, ...]:
    """FFmpeg's names of the channels of a layout, in order; every layout of a stream or frame is read here first.

    PyAV gives a copy of the layout, and destroying it frees the list of channels of a custom one, which still belongs
    to the stream or frame: the process would crash. So the copies of layouts that may be custom are never destroyed.
    """
    names = tuple(channel.name for channel in layout.channels)
    if names not in _KNOWN and set(names) != {_UNNAMED}:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return names


def named(names: Sequence[str]) -> tuple[str, ...]:
    """The names of channels; if they have none, those of the layout of their number, where there is one."""
    has_layout = set(names) == {_UNNAMED} and len(names) <= MAX_CHANNELS
    return LAYOUTS[_NAMES[len(names) - 1]] if has_layout else tuple(names)


def mix_of(names: Sequence[str]) -> Mix:
    """How audio with channels of these names, in this order, becomes that of an output.

    The output has the smallest layout that has a place of its own for each channel. Where there is none, it has as
    many channels as the source, but at most ``MAX_CHANNELS``, and the others are mixed into those that are nearest.
    Channels without names are taken to be those of the layout of their number; more than ``MAX_CHANNELS`` of them,
    and ambisonic audio, become stereo.
    """
    given, names = tuple(names), named(names)
    if not all(name in _ELSEWHERE or name in LAYOUTS["7.1"] for name in names):
        return Mix("stereo", _pan("stereo", _in_stereo(names)), is_lossy=True)
    for layout, own in LAYOUTS.items():
        shares = [_places(name, own, _AS_GOOD) for name in names]
        if all(shares) and not _overlap(shares):
            return Mix(layout, "" if given == own else _pan(layout, shares))
    layout = _NAMES[min(len(names), MAX_CHANNELS) - 1]
    own = LAYOUTS[layout]
    shares = [
        {place: share if name in own else _HALF * share for place, share in _places(name, own).items()}
        for name in names
    ]
    return Mix(layout, _pan(layout, shares), is_lossy=True)


def _places(name: str, own: Sequence[str], elsewhere: Mapping[str, Places] = _ELSEWHERE) -> dict[str, float]:
    """Where a channel goes in an output that has the channels ``own``; nowhere if there is no such place."""
    if name in own:
        return {name: 1.0}
    places = next((each for each in elsewhere.get(name, ()) if set(each) <= set(own)), ())
    return dict.fromkeys(places, 1.0 if len(places) == 1 else _HALF)


def layout_of(names: Sequence[str]) -> str:
    """The layout with these channels, as FFmpeg's filters read it."""
    return f"{len(names)} channels" if set(names) == {_UNNAMED} else "+".join(names)


def _overlap(shares: Shares) -> bool:
    used = [place for share in shares for place in share]
    return len(set(used)) < len(used)


def _in_stereo(names: Sequence[str]) -> Shares:
    """Channels without a place, in the middle; together as loud as they are. Ambisonic ones as from both sides."""
    share = 1 / sqrt(len(names))
    shares = [_SPHERE.get(name, (0, 0)) if name.startswith(_AMBISONIC) else (share, share) for name in names]
    return [dict(zip(LAYOUTS["stereo"], each, strict=True)) for each in shares]


def _pan(layout: str, shares: Shares) -> str:
    outputs = [_sum((share.get(name, 0), number) for number, share in enumerate(shares)) for name in LAYOUTS[layout]]
    return f"{layout}|" + "|".join(f"c{number}={terms}" for number, terms in enumerate(outputs))


def _sum(terms: Iterable[tuple[float, int]]) -> str:
    return "+".join(f"{_NEARLY * share:.9f}*c{number}" for share, number in terms if share) or "0*c0"
