"""The one place where videos are measured against the limits of the settings, before any work is done on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.errors import TooLarge
from framepack.media.timeline.constant_rate import MAX_FPS

if TYPE_CHECKING:
    from framepack.media.clip import Clip
    from framepack.media.read.probe import VideoInfo
    from framepack.settings import Settings

_MEGABYTE: Final = 1_000_000


def check_source(info: VideoInfo, settings: Settings) -> None:
    """Check a source against the limits of the settings.

    Raises:
        TooLarge: It is over ``max_source_mb``, ``max_pixels``, ``max_seconds`` or ``max_frames``.
    """
    size_mb = info.size_bytes / _MEGABYTE
    if size_mb > settings.max_source_mb:
        raise TooLarge(f"The video has {size_mb:.1f} MB; at most {settings.max_source_mb:g} MB are allowed.")
    if info.width * info.height > settings.max_pixels:
        raise TooLarge(
            f"The video's frames have {info.width} x {info.height} pixels; at most {settings.max_pixels} are allowed."
        )
    if info.duration_seconds > settings.max_seconds:
        raise TooLarge(
            f"The video lasts {info.duration_seconds:.1f} seconds; at most {settings.max_seconds:g} are allowed."
        )
    frames = max(info.length, info.frame_count)
    if frames > settings.max_frames:
        raise TooLarge(f"The video has {frames} frames; at most {settings.max_frames} are allowed.")


def check_output(clip: Clip, settings: Settings) -> None:
    """Check a clip that is about to be rendered against the limits of the settings.

    Raises:
        TooLarge: It is over ``max_output_pixels``, ``max_output_frames`` or the rate that a source may have.
    """
    if clip.fps > MAX_FPS:
        raise TooLarge(f"The output would have {float(clip.fps):g} frames per second; at most {MAX_FPS} are allowed.")
    if clip.width * clip.height > settings.max_output_pixels:
        raise TooLarge(
            f"The output's frames would have {clip.width} x {clip.height} pixels; "
            f"at most {settings.max_output_pixels} are allowed."
        )
    frames = clip.total_frames
    if frames is not None and frames > settings.max_output_frames:
        raise TooLarge(f"The output would have {frames} frames; at most {settings.max_output_frames} are allowed.")
