"""Rows about colors, pixels and the shape of frames."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from framepack.media.clip import Colors, Matrix
from tests.corpus.containers import BT601, FULL, QUICK, beeping, video
from tests.corpus.row import COUNT, ENCODING, GRAYS, PATCHES, Patches, Row, card
from tests.support.clips import Pixels
from tests.support.codings import Coding, encoded

PQ, HLG = Colors(Matrix.BT2020, 9, 16), Colors(Matrix.BT2020, 9, 18)
BT2020 = Colors(Matrix.BT2020, 9, 14)
TONE_MAPPED = "The video is HDR; it was tone-mapped to SDR (BT.709)."
KEPT = "The video is HDR and stays so, with 8 bits per color."
ON_BLACK = "Transparent pixels were put on black."
KEPT_ON_DEMAND = "`keep_alpha` keeps it"
DEINTERLACED = "The video is interlaced; each of its frames was deinterlaced to one frame."
UNFLAGGED = (
    "The video is interlaced, although its frames are not flagged so; each of them was deinterlaced to one frame."
)
_HDR = {**dict.fromkeys(ENCODING, (KEPT,)), "export GIF": (TONE_MAPPED,), "extract_frames": (TONE_MAPPED,)}


def _row(name: str, kind: str, says: str, make: Callable[[Path], Path], **fields: Any) -> Row:
    return Row(name=name, kind=kind, says=says, make=make, **fields)


def turned(degrees: int, *, mirrored: bool = False) -> Callable[[int, int, int], Pixels]:
    """Stored frames that are upright once they are turned clockwise by ``degrees`` and mirrored."""

    def frame(index: int, width: int, height: int) -> Pixels:
        upright = card()(index, *((height, width) if degrees in {90, 270} else (width, height)))
        if mirrored:
            upright = upright[:, ::-1]
        return np.ascontiguousarray(np.rot90(upright, degrees // 90))

    return frame


def grays(white: float) -> tuple[Patches, Patches]:
    """Patches of black, 38 %, reference white: as signals, and tone-mapped."""
    levels = (0, round(0.38 * 255), round(white * 255))
    return tuple((level,) * 3 for level in levels), ((0,) * 3, (108,) * 3, (250,) * 3)


_MASTERING = (
    "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:repeat-headers=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)


def hdr(name: str, says: str, colors: Colors, white: float, warnings: tuple[str, ...] = (), **spec: Any) -> Row:
    """An HDR row."""
    signal, mapped = grays(white)
    make = video("a.mp4", beeping(), pix_fmt="yuv420p10le", colors=colors, frame=card(signal), **spec)
    return _row(
        name,
        "Colors",
        says,
        make,
        colors=colors,
        patches=signal,
        sdr_patches=mapped,
        warnings=warnings,
        in_operations=_HDR,
        note="HDR stays HDR with 8 bits; GIF, PNG and contact sheets are tone-mapped to SDR",
        tolerance=6,
    )


def woven(index: int, width: int, height: int) -> Pixels:
    """Interlaced: the odd rows show a later time."""
    column = np.arange(width)
    image = card()(index, width, height)
    for rows, time in ((slice(height // 2, None, 2), 2 * index), (slice(height // 2 + 1, None, 2), 2 * index + 1)):
        image[rows] = (128 + 100 * np.sin((column - 4 * time) / 5.0)).round()[None, :, None]
    return image


_TAGS = "colorprim=bt709:transfer=bt709:colormatrix=bt709"


def interlaced(name: str, codec: str, **options: str) -> Callable[[Path], Path]:
    """A maker of an interlaced file."""
    coding = Coding(name, codec, options={"flags": "+ildct+ilme", **options})
    return lambda folder: encoded(folder, coding, woven, [(64, 64)], COUNT)


def glass(index: int, width: int, height: int) -> Pixels:
    """Numbered frames whose first patch is transparent, and hides a color."""
    image = np.dstack([card()(index, width, height), np.full((height, width), 255, np.uint8)])
    image[height // 2 :, : width // 4, 3] = 0
    return image


_ON_BLACK: Patches = ((0, 0, 0), *PATCHES[1:])
_LETTERBOXED = "Frames of another size than the first were scaled to fit into # x # pixels."


def alpha(name: str, codec: str, pix_fmt: str, **options: str) -> Callable[[Path], Path]:
    """A maker of a transparent video."""
    return lambda folder: encoded(folder, Coding(name, codec, pix_fmt, options), glass, [(64, 48)], COUNT)


def resized(folder: Path) -> Path:
    """A size that changes after 6 frames."""

    def paint(index: int, width: int, height: int) -> Pixels:
        return card()(index if width == 64 else index + 6, width, height)

    return encoded(
        folder, Coding("a.webm", "libvpx", options=QUICK["libvpx"], colors=BT601), paint, [(64, 48), (96, 72)], 6
    )


def glass_animation(name: str) -> Callable[[Path], Path]:
    """A maker of a transparent animation."""

    def make(folder: Path) -> Path:
        images = [Image.fromarray(glass(index, 64, 48)) for index in range(COUNT)]
        lossless: dict[str, Any] = {"lossless": True, "exact": True} if name.endswith("webp") else {}
        more: dict[str, Any] = {"disposal": 2} if name.endswith("gif") else {}
        images[0].save(
            folder / name, save_all=True, append_images=images[1:], duration=40, loop=0, **lossless, **more
        )
        return folder / name

    return make


COLORS = (
    _row(
        "bt601",
        "Colors",
        "BT.601, as SD video has it",
        video("a.mp4", beeping(), colors=BT601),
        colors=BT601,
        copied=True,
    ),
    _row("bt2020", "Colors", "BT.2020, SDR", video("a.mp4", beeping(), colors=BT2020), colors=BT2020, copied=True),
    _row("full-range", "Colors", "Full range", video("a.mp4", beeping(), colors=FULL), colors=FULL, copied=True),
    _row(
        "untagged",
        "Colors",
        "No color tags: BT.601 below 1280 columns and 577 rows, else BT.709",
        video("a.mkv", codec="ffv1", pix_fmt="yuv420p", colors=None),
        beeps=None,
        colors=BT601,
        patches=(),
    ),
    hdr("pq", "HDR10 (PQ, BT.2020, 10 bits)", PQ, 0.5807),
    hdr(
        "mastering-display",
        "HDR10 with a mastering display and a content light level",
        PQ,
        0.5807,
        ("The HDR metadata of the file (mastering display, content light level) is left out.",),
        codec="libx265",
        options={"x265-params": _MASTERING, "preset": "ultrafast", "crf": "10"},
    ),
    hdr("hlg", "HLG (BT.2020, 10 bits), as iPhones record", HLG, 0.75),
    _row(
        "10-bit",
        "Colors",
        "H.264 with 10 bits",
        video("a.mp4", beeping(), pix_fmt="yuv420p10le"),
        note="8 bits per color",
    ),
    _row("422", "Colors", "4:2:2", video("a.mkv", codec="ffv1", pix_fmt="yuv422p"), beeps=None, note="4:2:0"),
    _row("444", "Colors", "4:4:4", video("a.mp4", pix_fmt="yuv444p"), beeps=None, note="4:2:0"),
    _row(
        "gray",
        "Colors",
        "Gray (FFV1)",
        video("a.mkv", codec="ffv1", pix_fmt="gray", frame=card(GRAYS), colors=None),
        beeps=None,
        patches=GRAYS,
        colors=Colors(Matrix.BT601, 6, 6, full_range=True),
    ),
)

SHAPES = (
    _row(
        "odd-size",
        "Shape of frames",
        "An odd size",
        video("a.mkv", codec="ffv1", size=(65, 49)),
        beeps=None,
        size=(65, 49),
        note="one more column or row, so that both are even",
    ),
    _row(
        "turned-90",
        "Shape of frames",
        "Turned by 90 degrees, as phones record",
        video("a.mp4", beeping(), frame=turned(90), rotation=90),
        size=(48, 64),
        note="upright frames without a tag",
    ),
    _row(
        "turned-180",
        "Shape of frames",
        "Turned by 180 degrees",
        video("a.mp4", beeping(), frame=turned(180), rotation=180),
    ),
    _row(
        "turned-270",
        "Shape of frames",
        "Turned by 270 degrees",
        video("a.mov", beeping(), frame=turned(270), rotation=270),
        size=(48, 64),
    ),
    _row(
        "turned-45",
        "Shape of frames",
        "Turned by an angle that is no multiple of 90 degrees",
        video("a.mp4", beeping(), rotation=45),
        warnings=("The file asks players to rotate its video by # degrees clockwise; outputs rotate it by #.",),
        copied=True,
        other_reader=False,  # it rotates them
    ),
    _row(
        "mirrored",
        "Shape of frames",
        "Mirrored",
        video("a.mp4", beeping(), frame=turned(0, mirrored=True), mirrored=True),
    ),
    _row(
        "sar",
        "Shape of frames",
        "Pixels that are not square (2:1)",
        video("a.mp4", beeping(), aspect=Fraction(2)),
        aspect=Fraction(2),
        note="kept; `export` makes them square",
        copied=True,
    ),
    _row(
        "resized",
        "Shape of frames",
        "A size that changes midway",
        resized,
        beeps=None,
        on_decoding=(_LETTERBOXED,),
        colors=BT601,
        copied=False,
    ),
    _row(
        "interlaced-mpeg2",
        "Shape of frames",
        "Interlaced MPEG-2",
        interlaced("a.ts", "mpeg2video", b="8M"),
        size=(64, 64),
        beeps=None,
        patches=(),
        on_decoding=(DEINTERLACED,),
        colors=BT601,
    ),
    _row(
        "interlaced-h264",
        "Shape of frames",
        "Interlaced H.264",
        interlaced("a.mp4", "libx264", **{"crf": "4", "x264-params": _TAGS}),
        size=(64, 64),
        beeps=None,
        patches=(),
        on_decoding=(DEINTERLACED,),
        copied=True,
    ),
    _row(
        "interlaced-unflagged",
        "Shape of frames",
        "Interlaced frames that are coded as progressive ones",
        lambda folder: encoded(
            folder, Coding("a.mp4", "libx264", options={"crf": "4", "x264-params": _TAGS}), woven, [(64, 64)], COUNT
        ),
        size=(64, 64),
        beeps=None,
        patches=(),
        on_decoding=(UNFLAGGED,),
        copied=True,
    ),
    _row(
        "alpha-vp9",
        "Shape of frames",
        "Transparent VP9",
        alpha("a.webm", "libvpx-vp9", "yuva420p", **{"auto-alt-ref": "0"}),
        beeps=None,
        patches=_ON_BLACK,
        note=KEPT_ON_DEMAND,
        on_decoding=(ON_BLACK,),
        colors=BT601,
    ),
    _row(
        "alpha-prores",
        "Shape of frames",
        "Transparent ProRes 4444",
        alpha("a.mov", "prores_ks", "yuva444p10le"),
        beeps=None,
        patches=_ON_BLACK,
        note=KEPT_ON_DEMAND,
        on_decoding=(ON_BLACK,),
        colors=BT601,
    ),
    _row(
        "alpha-gif",
        "Shape of frames",
        "A transparent GIF",
        glass_animation("a.gif"),
        beeps=None,
        patches=_ON_BLACK,
        note=KEPT_ON_DEMAND,
        on_decoding=(ON_BLACK,),
        tolerance=20,
    ),
    _row(
        "alpha-webp",
        "Shape of frames",
        "Transparent animated WebP",
        glass_animation("a.webp"),
        beeps=None,
        patches=_ON_BLACK,
        note=KEPT_ON_DEMAND,
        on_decoding=(ON_BLACK,),
        other_reader=False,
    ),
)

ROWS = COLORS + SHAPES
