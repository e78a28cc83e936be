"""Conversion of planar YUV frames to the format of the encoders: 8 bits, 4:2:0, even width and height."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.frames.arrays import planes_of

if TYPE_CHECKING:
    import av

    from framepack.media.clip import Clip

_FORMAT: Final = "yuv420p"


class Yuv420Converter:
    """Converts the frames of one clip. A frame that needs no conversion is passed through."""

    def __init__(self, clip: Clip) -> None:
        from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

        self._reformatter = VideoReformatter()
        self._range = ColorRange.JPEG if clip.colors.full_range else ColorRange.MPEG
        self._scaler = Interpolation.BICUBIC | Interpolation.ACCURATE_RND

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Convert a planar YUV frame to yuv420p of even width and height, with the same colors."""
        if frame.width % 2 or frame.height % 2:
            frame = pad_to_even(frame)
        if frame.format.name == _FORMAT:
            return frame
        return self._reformatter.reformat(
            frame,
            format=_FORMAT,
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
    source, target = planes_of(frame), planes_of(larger)
    for samples, padded in ((source.y, target.y), (source.u, target.u), (source.v, target.v)):
        rows, columns = samples.shape
        padded[:rows, :columns] = samples
        padded[rows:, :columns] = samples[-1:]
        padded[:, columns:] = padded[:, columns - 1 : columns]
    larger.colorspace, larger.color_range = frame.colorspace, frame.color_range
    larger.color_primaries, larger.color_trc = frame.color_primaries, frame.color_trc
    return larger
