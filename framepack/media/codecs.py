"""What this machine's FFmpeg can encode and decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_ENCODERS: Final = ("libx264", "libvpx-vp9", "aac", "libopus", "gif")
# By format; any one of its decoders will do. FFmpeg's own for AV1 works only on GPUs that have one.
_DECODERS: Final = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),
}
_NVIDIA: Final[tuple[tuple[str, str, Literal["w", "r"]], ...]] = (
    ("NVENC", "h264_nvenc", "w"),
    ("NVDEC", "h264_cuvid", "r"),
)


@dataclass(frozen=True, slots=True)
class Codecs:
    """What there is.

    Attributes:
        ffmpeg: Version of FFmpeg.
        pyav: Version of PyAV, which carries it.
        there: The codecs that operations need and this FFmpeg has, as in "encoder libx264".
        missing: Those that it lacks.
        nvidia: Which of NVIDIA's codecs it was built with; none of them is used.
    """

    ffmpeg: str
    pyav: str
    there: tuple[str, ...]
    missing: tuple[str, ...]
    nvidia: tuple[str, ...]


def read_codecs() -> Codecs:
    """Ask the FFmpeg that PyAV carries."""
    import av

    found = {f"encoder {name}": _has(name, "w") for name in _ENCODERS}
    found |= {f"decoder {format_}": any(_has(name, "r") for name in names) for format_, names in _DECODERS.items()}
    return Codecs(
        ffmpeg=str(av.ffmpeg_version_info),
        pyav=av.__version__,
        there=tuple(name for name, is_there in found.items() if is_there),
        missing=tuple(name for name, is_there in found.items() if not is_there),
        nvidia=tuple(shown for shown, name, mode in _NVIDIA if _has(name, mode)),
    )


def _has(name: str, mode: Literal["w", "r"]) -> bool:
    from av.codec.codec import Codec, UnknownCodecError

    try:
        Codec(name, mode)
    except UnknownCodecError:
        return False
    return True
