"""The codecs of this machine's FFmpeg."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_ENCODERS: Final = ("libx264", "libvpx-vp9", "aac", "libopus", "gif")
# By format; any of its decoders is sufficient. FFmpeg's native AV1 decoder works only with GPUs that support it.
_DECODERS: Final = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),
}


@dataclass(frozen=True, slots=True)
class Codecs:
    """The codecs of an FFmpeg.

    Attributes:
        ffmpeg: Version of FFmpeg.
        pyav: Version of PyAV, which contains it.
        available: The required codecs that it has, such as "encoder libx264".
        missing: The required codecs that it lacks.
    """

    ffmpeg: str
    pyav: str
    available: tuple[str, ...]
    missing: tuple[str, ...]


def read_codecs() -> Codecs:
    """Examine the FFmpeg that PyAV contains."""
    import av

    found = {f"encoder {name}": _has(name, "w") for name in _ENCODERS}
    found |= {f"decoder {format_}": any(_has(name, "r") for name in names) for format_, names in _DECODERS.items()}
    return Codecs(
        ffmpeg=str(av.ffmpeg_version_info),
        pyav=av.__version__,
        available=tuple(name for name, is_available in found.items() if is_available),
        missing=tuple(name for name, is_available in found.items() if not is_available),
    )


def has_encoder(name: str) -> bool:
    """Whether FFmpeg was built with an encoder; one of hardware may not work here all the same."""
    return _has(name, "w")


def _has(name: str, mode: Literal["w", "r"]) -> bool:
    from av.codec.codec import Codec, UnknownCodecError

    try:
        Codec(name, mode)
    except UnknownCodecError:
        return False
    return True
