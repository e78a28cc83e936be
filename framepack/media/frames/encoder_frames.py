"""Fit planar YUV frames to what the encoder takes: 8 bits, 4:2:0, even sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.media.frames.arrays import planes_of

if TYPE_CHECKING:
    import av

    from framepack.media.clip import Clip

_FORMAT: Final = "yuv420p"


class Fitter:
    """Converts the frames of one clip; those that already fit pass untouched."""

    def __init__(self, clip: Clip) -> None:
        from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

        self._reformatter = VideoReformatter()
        self._range = ColorRange.JPEG if clip.colors.full_range else ColorRange.MPEG
        self._scaler = Interpolation.BICUBIC | Interpolation.ACCURATE_RND

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the planar YUV ``frame`` as yuv420p of even size, with the same colors."""
        if frame.width % 2 or frame.height % 2:
            frame = evened(frame)
        if frame.format.name == _FORMAT:
            return frame
        return self._reformatter.reformat(
            frame,
            format=_FORMAT,
            interpolation=self._scaler,
            src_color_range=self._range,
            dst_color_range=self._range,
        )


def evened(frame: av.VideoFrame) -> av.VideoFrame:
    """Repeat the last column and row of a planar YUV frame where their number is odd."""
    return padded(frame, frame.width + frame.width % 2, frame.height + frame.height % 2)


def padded(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """Repeat the last column and row of a planar YUV frame until it has this size."""
    import av

    larger = av.VideoFrame(width, height, frame.format.name)
    given, room = planes_of(frame), planes_of(larger)
    for samples, space in ((given.y, room.y), (given.u, room.u), (given.v, room.v)):
        rows, columns = samples.shape
        space[:rows, :columns] = samples
        space[rows:, :columns] = samples[-1:]
        space[:, columns:] = space[:, columns - 1 : columns]
    larger.colorspace, larger.color_range = frame.colorspace, frame.color_range
    return larger
