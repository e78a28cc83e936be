"""Conversion between HDR (PQ, HLG) and SDR colors: one color cube, which FFmpeg applies.

Both sides are described by the light of a display, in units of reference white: 203 cd/m2 in HDR, which is 58 % of
the signal in PQ and 75 % in HLG (ITU-R BT.2408), and full white in SDR (BT.1886). Light up to nine tenths of
reference white is kept; what is brighter is compressed, so that reference white becomes 250 of 255 and the brightest
highlight 255. Colors outside the target's gamut lose saturation, but not luminance.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from framepack.media.clip import Colors
from framepack.media.frames.colors import HLG, PQ, is_hdr
from framepack.media.frames.graph import build_graph

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.filter import Graph
    from numpy.typing import NDArray

    Light = NDArray[np.float64]
    """Linear light of red, green and blue, shape (..., 3); 1 is reference white."""

SDR: Final = Colors()
"""What HDR becomes where it cannot be kept: BT.709."""

TONE_MAPPED: Final = "The video is HDR; it was tone-mapped to SDR (BT.709)."
"""The sentence for the client that goes with it."""

CUBE_FORMAT: Final = "rgb48le"
"""The pixel format of frames that ``cube_graph`` converts."""

_CUBE_FILTER: Final = "haldclut=clut=first"
_LEVEL: Final = 8  # the cube has 64 points along each axis
_REFERENCE_WHITE: Final = 203  # cd/m2
_PEAK: Final = {HLG: 1000 / _REFERENCE_WHITE, PQ: 10_000 / _REFERENCE_WHITE}
_KNEE: Final = 0.9  # with this one, reference white becomes 250 of 255
_SDR_GAMMA: Final = 2.4
_PQ: Final = (2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32)  # m1, m2, c1, c2, c3
_HLG: Final = (0.17883277, 0.28466892, 0.55991073)  # a, b, c
_HLG_GAMMA: Final = 1.2  # of a display with 1000 cd/m2
_WHITE: Final = (0.3127, 0.329)
_CHROMATICITIES: Final = {
    1: ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077)),
}
"""x and y of red, green and blue for H.273 numbers of primaries; white is taken to be D65."""


def needs_cube(source: Colors, target: Colors) -> bool:
    """Whether frames with the colors ``source`` need a color cube to get the colors ``target``."""
    if not (is_hdr(source) or is_hdr(target)):
        return False
    return (source.transfer, source.primaries) != (target.transfer, target.primaries)


def describe_conversion(source: Colors, target: Colors) -> str | None:
    """Describe the conversion for the client; None if the curve stays."""
    if not needs_cube(source, target):
        return None
    if not is_hdr(target):
        return TONE_MAPPED
    if is_hdr(source):
        return "The video's HDR colors were converted to those of the first video."
    return "The video is SDR and the first one is HDR; its white became HDR reference white (203 cd/m2)."


def cube_graph(
    frame: av.VideoFrame, source: Colors, target: Colors, before: Sequence[str], after: Sequence[str]
) -> Graph:
    """Build a filter graph that converts frames with a color cube; see ``framepack.media.frames.graph.filtered``.

    Args:
        frame: A frame of the size and format that the graph will receive.
        source: The colors of the frames.
        target: The colors of the result.
        before: Filters that convert the frames to RGB, in ``CUBE_FORMAT``.
        after: Filters for the RGB result.
    """
    return build_graph(frame, [*before, f"format={CUBE_FORMAT}", _CUBE_FILTER, *after], second=_cube(source, target))


def converted_light(light: Light, source: Colors, target: Colors) -> Light:
    """Convert the light of a display that shows ``source`` to that of one that shows ``target``."""
    most = _PEAK.get(target.transfer, 1.0)
    if is_hdr(source) and not is_hdr(target):
        peak = light.max(-1, keepdims=True)
        light = light * (_compressed(peak, _PEAK[source.transfer]) / peak.clip(1e-9))
    if source.primaries != target.primaries:
        light = light @ (_to_xyz(source.primaries) @ _from_xyz(target.primaries))
    return _within(light, _to_xyz(target.primaries)[:, 1], most)


def light_of(signal: NDArray[Any], colors: Colors) -> Light:
    """The light of a display for a signal of 0 to 1, shape (..., 3)."""
    import numpy as np

    if colors.transfer == PQ:
        m1, m2, c1, c2, c3 = _PQ
        power = signal ** (1 / m2)
        return np.asarray(((power - c1).clip(0) / (c2 - c3 * power)) ** (1 / m1) * _PEAK[PQ])
    if colors.transfer == HLG:
        a, b, c = _HLG
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)  # noqa: PLR2004
        luminance = scene @ _to_xyz(colors.primaries)[:, 1:2]
        return np.asarray(scene * luminance.clip(1e-12) ** (_HLG_GAMMA - 1) * _PEAK[HLG])
    return np.asarray(signal**_SDR_GAMMA)


def signal_of(light: Light, colors: Colors) -> NDArray[Any]:
    """The signal, 0 to 1, for the light of a display."""
    import numpy as np

    if colors.transfer == PQ:
        m1, m2, c1, c2, c3 = _PQ
        power = (light / _PEAK[PQ]).clip(0, 1) ** m1
        return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)
    if colors.transfer == HLG:
        a, b, c = _HLG
        shown = light / _PEAK[HLG]
        luminance = (shown @ _to_xyz(colors.primaries)[:, 1:2]).clip(1e-12)
        scene = (shown * luminance ** (1 / _HLG_GAMMA - 1)).clip(0, 1)
        return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log((12 * scene - b).clip(1e-9)) + c))
    return np.asarray(light.clip(0, 1) ** (1 / _SDR_GAMMA))


def _compressed(light: Light, peak: float) -> Light:
    """Compress light above the knee, so that ``peak`` becomes 1 (Möbius transform, as in FFmpeg's tonemap)."""
    import numpy as np

    knee = _KNEE
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    bright = light.clip(knee, peak)
    return np.asarray(np.where(light <= knee, light, (b + knee) ** 2 / (b - a) * (bright + a) / (bright + b)))


def _within(light: Light, weights: Light, most: float) -> Light:
    """Mix colors outside 0 to ``most`` with gray of the same luminance until they are inside."""
    import numpy as np

    gray = (light @ weights)[..., None].clip(0, most)
    low, high = light.min(-1, keepdims=True), light.max(-1, keepdims=True)
    share = np.ones_like(gray)
    outside = low < 0
    share[outside] = (gray[outside] / (gray[outside] - low[outside])).clip(0, 1)
    outside = high > most
    share[outside] = np.minimum(share[outside], (most - gray[outside]) / (high[outside] - gray[outside]))
    return np.asarray((gray + (light - gray) * share).clip(0, most))


@lru_cache(maxsize=8)
def _cube(source: Colors, target: Colors) -> av.VideoFrame:
    """The signal of ``target`` for evenly spaced signals of ``source``, as the image that haldclut reads."""
    import av
    import numpy as np

    points, side = _LEVEL**2, _LEVEL**3
    axis = np.linspace(0, 1, points)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    light = light_of(np.stack([red, green, blue], -1).reshape(-1, 3), source)
    signal = signal_of(converted_light(light, source, target), target)
    image = (signal * 65535).round().astype(np.uint16).reshape(side, side, 3)
    cube = av.VideoFrame.from_ndarray(image, CUBE_FORMAT)
    cube.pts, cube.time_base = 0, Fraction(1, 1000)
    return cube


@lru_cache(maxsize=16)
def _to_xyz(primaries: int) -> Light:
    """The matrix from linear RGB, as a row, to XYZ."""
    import numpy as np

    corners = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _CHROMATICITIES.get(primaries, _CHROMATICITIES[1])])
    x, y = _WHITE
    white = np.array([x / y, 1, (1 - x - y) / y])
    return np.asarray(np.linalg.solve(corners.T, white)[:, None] * corners)


def _from_xyz(primaries: int) -> Light:
    import numpy as np

    return np.asarray(np.linalg.inv(_to_xyz(primaries)))
