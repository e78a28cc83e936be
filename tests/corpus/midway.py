"""Rows about recordings whose colors or pixel aspect change midway."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from framepack.media.clip import Colors
from tests.corpus.containers import BT601, FULL
from tests.corpus.frames import HLG, KEPT, TONE_MAPPED, grays
from tests.corpus.row import COUNT, ENCODING, PATCHES, Patches, Row, card
from tests.support.clips import BT709, REPRODUCIBLE, Pixels, Spec, make_clip

_HALF = COUNT // 2
_TICK = Fraction(1, 25)
_CONVERTED = "Frames with other color tags than the first were converted to its colors"
_FITTED = "Frames with another pixel aspect than the first were scaled to fit into # x # pixels."
_HEVC: dict[str, Any] = {
    "codec": "libx265",
    "options": {"x265-params": "log-level=none:repeat-headers=1", "preset": "ultrafast", "crf": "6"},
}
_H264: dict[str, Any] = {"options": {"preset": "veryfast", "crf": "8", "bf": "2"}}


def one_after_another(folder: Path, name: str, *parts: Spec) -> Path:
    """The frames of several clips in one stream, each with headers of its own."""
    number = 0
    with av.open(str(folder / name), "w", options=REPRODUCIBLE) as output:
        stream = None
        for place, spec in enumerate(parts):
            with av.open(str(make_clip(folder / f"part{place}.ts", spec))) as source:
                stream = stream or output.add_stream_from_template(source.streams.video[0])
                packets = [packet for packet in source.demux(video=0) if packet.size]
                first = min(packet.pts or 0 for packet in packets)
                for packet in packets:
                    shift = number * _TICK / packet.time_base - first
                    packet.pts, packet.dts = round((packet.pts or 0) + shift), round((packet.dts or 0) + shift)
                    packet.stream = stream
                    output.mux(packet)
            number += spec.count
    return folder / name


def _halves(
    first: dict[str, Any], second: dict[str, Any], coding: dict[str, Any], patches: tuple[Patches, Patches]
) -> Callable[[Path], Path]:
    def painted(begin: int, colors: Patches) -> Callable[[int, int, int], Pixels]:
        return lambda index, width, height: card(colors)(begin + index, width, height)

    one, two = (
        Spec(count=_HALF, frame=painted(begin, colors), **coding, **fields)
        for begin, colors, fields in ((0, patches[0], first), (_HALF, patches[1], second))
    )
    return lambda folder: one_after_another(folder, "a.ts", one, two)


def _change(name: str, says: str, first: Colors, second: Colors) -> Row:
    return Row(
        name=name,
        kind="Colors",
        says=says,
        make=_halves({"colors": first}, {"colors": second}, _H264, (PATCHES, PATCHES)),
        beeps=None,
        colors=first,
        on_decoding=(f"{_CONVERTED}.",),
        note="the colors of the first frame",
    )


_SIGNAL, _MAPPED = grays(0.75)

ROWS = (
    _change("matrix-changes", "Matrix, primaries and curve that change midway", BT709, BT601),
    _change("range-changes", "A range that changes midway", BT709, FULL),
    Row(
        name="hdr-begins",
        kind="Colors",
        says="SDR that becomes HLG midway",
        make=_halves(
            {"colors": BT709, "pix_fmt": "yuv420p10le"},
            {"colors": HLG, "pix_fmt": "yuv420p10le"},
            _HEVC,
            (_MAPPED, _SIGNAL),
        ),
        beeps=None,
        patches=_MAPPED,
        on_decoding=(f"{_CONVERTED}: HDR was tone-mapped to SDR.",),
        note="tone-mapped to SDR, as the first frame",
    ),
    Row(
        name="hdr-ends",
        kind="Colors",
        says="HLG that becomes SDR midway",
        make=_halves(
            {"colors": HLG, "pix_fmt": "yuv420p10le"},
            {"colors": BT709, "pix_fmt": "yuv420p10le"},
            _HEVC,
            (((191,) * 3, (0,) * 3), ((255,) * 3, (0,) * 3)),
        ),
        beeps=None,
        colors=HLG,
        patches=((191,) * 3, (0,) * 3),
        sdr_patches=((250,) * 3, (0,) * 3),
        on_decoding=(f"{_CONVERTED}: the white of SDR became HDR reference white (# cd/m2).",),
        in_operations={
            **dict.fromkeys(ENCODING, (KEPT,)),
            "export GIF": (TONE_MAPPED,),
            "extract_frames": (TONE_MAPPED,),
        },
        note="the white of SDR becomes HDR reference white",
    ),
    Row(
        name="tags-end",
        kind="Colors",
        says="Color tags that are missing midway",
        make=_halves({"colors": BT709}, {"colors": None}, _H264, (PATCHES, PATCHES)),
        beeps=None,
    ),
    Row(
        name="aspect-changes",
        kind="Shape of frames",
        says="A pixel aspect that changes midway",
        make=_halves({"aspect": Fraction(1)}, {"aspect": Fraction(4, 3)}, _H264, (PATCHES, PATCHES)),
        beeps=None,
        on_decoding=(_FITTED,),
        note="scaled to fit into the first frame, on black",
    ),
)
