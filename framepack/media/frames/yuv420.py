"""Conversion of planar YUV frames to the format of the encoders: 8 bits, 4:2:0, even width and height."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.frames.alpha import with_alpha
from framepack.media.frames.arrays import samples_of

if TYPE_CHECKING:
    import av

    from framepack.media.clip import Clip

_FORMAT: Final = "yuv420p"


def encoder_format(clip: Clip) -> str:
    """FFmpeg's name of the pixel format that the encoder of a clip gets."""
    return with_alpha(_FORMAT) if clip.has_alpha else _FORMAT


class Yuv420Converter:
    """Converts the frames of one clip. A frame that needs no conversion is passed through."""

    def __init__(self, clip: Clip) -> None:
        from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

        self._format = encoder_format(clip)
        self._reformatter = VideoReformatter()
        self._range = ColorRange.JPEG if clip.colors.full_range else ColorRange.MPEG
        self._scaler = Interpolation.BICUBIC | Interpolation.ACCURATE_RND

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Convert a planar YUV frame to 8-bit 4:2:0 of even width and height, with the same colors and alpha."""
        if frame.width % 2 or frame.height % 2:
            frame = pad_to_even(frame)
        if frame.format.name == self._format:
            return frame
        return self._reformatter.reformat(
            frame,
            format=self._format,
            interpolation=self._scaler,
            src_color_range=self._range,
            dst_color_range=self._range,
        )


def pad_to_even(frame: av.VideoFrame) -> av.VideoFrame:
    """Pad a planar YUV frame to even width and height by repeating its last column and row."""
    return pad_frame(frame, frame.width + frame.width % 2, frame.height + frame.height % 2)


def pad_frame(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """Pad a planar YUV frame to a larger size by repeating its last column and row."""
    import av

    larger = av.VideoFrame(width, height, frame.format.name)
    depth = frame.format.components[0].bits
    for source, target in zip(frame.planes, larger.planes, strict=True):
        samples, padded = samples_of(source, depth), samples_of(target, depth)
        rows, columns = samples.shape
        padded[:rows, :columns] = samples
        padded[rows:, :columns] = samples[-1:]
        padded[:, columns:] = padded[:, columns - 1 : columns]
    larger.colorspace, larger.color_range = frame.colorspace, frame.color_range
    larger.color_primaries, larger.color_trc = frame.color_primaries, frame.color_trc
    return larger
