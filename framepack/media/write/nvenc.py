"""NVENC, the H.264 encoder of NVIDIA's GPUs: its options, its limits, and what its errors mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import av
    from av.packet import Packet
    from av.video.stream import VideoStream

NVENC: Final = "h264_nvenc"
"""FFmpeg's name of the encoder."""

MAX_HARDWARE_SIDE: Final = 4096
"""Pixels in a row or column up to which hardware encodes H.264, and plays it: beyond, many players show nothing."""

_PRESETS: Final = {
    "ultrafast": "p1",
    "superfast": "p2",
    "veryfast": "p3",
    "faster": "p4",
    "fast": "p4",
    "medium": "p5",
    "slow": "p7",
}  # by x264's presets
# In a public comparison by PSNR and SSIM, a quantizer of 21 has the quality of x264's 18, and 27 that of 23.
_CQ_ABOVE_CRF: Final = 2
_WORST_CQ: Final = 51
_MAX_LOOKAHEAD: Final = 32  # frames
_KEY_FRAME_INTERVAL: Final = 250  # frames, as x264
_B_FRAMES: Final = 3  # as x264's preset "medium"
_MEANINGS: Final = {
    "Cannot load libcuda": "there is no NVIDIA driver",
    "Cannot load libnvidia-encode": "the driver's library for video is not in the container, which needs "
    "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video",
    "CUDA_ERROR_NO_DEVICE": "there is no NVIDIA GPU",
    "unsupported device": "the GPU has no NVENC, such as A100, H100 and H200",
    "required nvenc API version": "the driver is too old for this FFmpeg",
    "out of memory": "all sessions that the GPU or its driver allows are in use, or its memory is full",
}  # by parts of FFmpeg's messages; the first that is found counts


class EncoderFailed(Exception):
    """NVENC did not begin, or did not finish, a video that x264 can encode. Clients never see it.

    Args:
        reason: What happened, as the end of a sentence.
        is_at_start: Whether it did not begin, perhaps only because other processes use all sessions.
    """

    def __init__(self, reason: str, *, is_at_start: bool = False) -> None:
        super().__init__(reason)
        self.is_at_start = is_at_start


def nvenc_options(crf: int, preset: str, lookahead: int, gpu: int) -> dict[str, str]:
    """Options of `NVENC` for about the quality that x264 has.

    Args:
        crf: Constant rate factor of x264, 1 to 40.
        preset: Preset of x264.
        lookahead: How many frames it may collect.
        gpu: Index of the GPU.
    """
    return {
        "preset": _PRESETS[preset],
        "tune": "hq",
        "profile": "high",
        "rc": "vbr",
        "cq": str(min(crf + _CQ_ABOVE_CRF, _WORST_CQ)),
        "b": "0",  # otherwise 2 Mbit/s is the limit
        "bf": str(_B_FRAMES),
        "g": str(_KEY_FRAME_INTERVAL),
        "rc-lookahead": str(min(lookahead, _MAX_LOOKAHEAD)),
        "spatial-aq": "1",
        "temporal-aq": "1",
        "gpu": str(gpu),
    }


def open_nvenc(codec: av.VideoCodecContext) -> None:
    """Open the encoder, which begins a session on the GPU.

    FFmpeg explains errors only in its log, which PyAV keeps off, because it is full of what is wrong with files.

    Raises:
        EncoderFailed: There is no GPU with NVENC, or no session is free.
    """
    import av

    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_skip_repeated(False)
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logged:
            codec.open()
    except av.FFmpegError as error:
        raise EncoderFailed(_explained(error, [text for _, _, text in logged]), is_at_start=True) from error
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


def encode_with_nvenc(stream: VideoStream, image: av.VideoFrame | None) -> list[Packet[VideoStream]]:
    """Encode a frame; None ends the video.

    Raises:
        EncoderFailed: The session broke off.
    """
    import av

    try:
        return stream.encode(image)
    except av.FFmpegError as error:
        raise EncoderFailed(_explained(error, [])) from error


def _explained(error: av.FFmpegError, logged: list[str]) -> str:
    """What FFmpeg said, and what that means if it is known, as the end of a sentence."""
    said = " / ".join(dict.fromkeys(text.strip() for text in logged)) or str(error.strerror)
    meaning = next((meaning for sign, meaning in _MEANINGS.items() if sign in said), None)
    return f"FFmpeg says: {said}" if meaning is None else f"{meaning} (FFmpeg says: {said})"
