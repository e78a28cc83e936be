"""Rows about what only the header of a file says: channels of audio, Dolby Vision, the part of frames to show."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.corpus.audio_and_rest import heard
from tests.corpus.containers import beeping, video
from tests.corpus.row import ENCODING, Row
from tests.support.odd_files import with_sample_box, with_speakers

_WITH_AUDIO = (*ENCODING, "reassemble_frames")
_APERTURE = "The file asks players to show only # x # of its # x # pixels (clean aperture); outputs have all of them."


def in_film_order(folder: Path) -> Path:
    """7.1 channels of PCM as left, center, right, sides, low frequencies, back."""
    return with_speakers(video("a.mov", beeping("pcm_s16le", layout="7.1"))(folder), (0, 2, 1, 4, 5, 3, 8, 9))


def dolby_vision(folder: Path) -> Path:
    """Dolby Vision of profile 5."""
    plain = video("a.mp4", beeping(), codec="libx265", pix_fmt="yuv420p10le")(folder)
    return with_sample_box(plain, b"dvcC", bytes([1, 0, 5 << 1, 5 << 3 | 5, 0]) + bytes(19))


def with_aperture(folder: Path) -> Path:
    """A clean aperture."""
    plain = video("a.mov", beeping())(folder)
    return with_sample_box(plain, b"clap", struct.pack(">8i", 54, 1, 40, 1, 0, 1, 0, 1))


ROWS = (
    heard("7.1", "7.1 channels", "a.mkv", codec="flac", layout="7.1", copied=True),
    heard("6.1", "6.1 channels", "a.mkv", codec="flac", layout="6.1", copied=True, note="as 7.1"),
    Row(
        name="film-order",
        kind="Audio",
        says="7.1 channels of PCM in the order of film (MOV)",
        make=in_film_order,
        copied=True,
    ),
    heard(
        "16-channels",
        "16 channels without names (PCM in MKV)",
        "a.mkv",
        codec="pcm_s16le",
        layout="hexadecagonal",
        copied=True,
        in_operations=dict.fromkeys(_WITH_AUDIO, ("The audio's # channels were mixed to stereo.",)),
    ),
    heard(
        "96-khz",
        "96 kHz",
        "a.mkv",
        codec="pcm_s24le",
        rate=96_000,
        copied=True,
        in_operations=dict.fromkeys(_WITH_AUDIO, ("The audio was resampled from # to # Hz.",)),
    ),
    Row(
        name="dolby-vision-5",
        kind="Colors",
        says="Dolby Vision without a base in other colors (profile 5)",
        make=dolby_vision,
        refused=(
            "The video is Dolby Vision of profile 5, whose colors only Dolby's own decoders know: profiles 7 and 8 "
            "are accepted, as are HDR10, HLG and SDR. Export it as one of these."
        ),
    ),
    Row(
        name="clean-aperture",
        kind="Shape of frames",
        says="A clean aperture (MOV), or pixels to crop (MKV)",
        make=with_aperture,
        copied=True,
        warnings=(_APERTURE,),
    ),
)
