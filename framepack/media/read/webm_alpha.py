"""The alpha channel of WebM, which is a second stream beside the frames that only some decoders read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_DECODERS: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave it out


def alpha_decoder(stream: VideoStream) -> str | None:
    """FFmpeg's name of a decoder that reads the alpha channel of a WebM stream; None if there is no such channel."""
    if stream.metadata.get("alpha_mode") != "1":
        return None
    return _DECODERS.get(stream.codec_context.codec.canonical_name)
