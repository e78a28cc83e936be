"""The one place where videos are measured against the limits of the settings, before any work is done on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from framepack.errors import TooLarge
from framepack.media.timeline.constant_rate import MAX_FPS
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.media.clip import Clip
    from framepack.media.read.probe import VideoInfo
    from framepack.settings import Settings

_MEGAPIXEL: Final = 1_000_000
_LEAST_MEGAPIXELS: Final = 0.01  # of a frame that is worth mentioning
GIGA: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Work:
    """What one step of a job computes.

    Attributes:
        frames: Number of frames.
        width: Pixels in a row of each.
        height: Rows of each.
        weight: How many times a pixel counts: 1 for a filter, more for a network.
        actor: What computes them, to begin a sentence with.
    """

    frames: int
    width: int
    height: int
    weight: int = 1
    actor: str = "This step"


@dataclass(slots=True)
class Budget:
    """The frames x pixels that one job has asked for so far; all videos of a batch or a join count in sum.

    Each axis of a video has a limit of its own; the budget limits their product, and with it the time of a job. It is
    charged before anything is decoded.

    Attributes:
        most_gigapixels: Limit of each kind, where it is below that of the settings.
        scope: What has the budget, for sentences.
        decoded: Pixels of the source videos.
        computed: Pixels of the steps, each as many times as the step's weight.
        encoded: Pixels of the outputs.
    """

    most_gigapixels: float = inf
    scope: str = "job"
    decoded: int = 0
    computed: int = 0
    encoded: int = 0

    def decode(self, frames: int, width: int, height: int, settings: Settings) -> None:
        """Charge a source.

        Raises:
            TooLarge: The sources would be over ``max_source_gigapixels``.
        """
        work, limit = Work(frames, width, height), settings.max_source_gigapixels
        self.decoded = self._charged(self.decoded, work, limit, f"The video has {_frames(work)}")

    def compute(self, work: Work, settings: Settings) -> None:
        """Charge a step.

        Raises:
            TooLarge: The steps would be over ``max_work_gigapixels``.
        """
        times = f", which count {work.weight} times" if work.weight > 1 else ""
        subject = f"{work.actor} would compute {_frames(work)}{times}"
        self.computed = self._charged(self.computed, work, settings.max_work_gigapixels, subject)

    def encode(self, frames: int, width: int, height: int, settings: Settings) -> None:
        """Charge an output.

        Raises:
            TooLarge: The outputs would be over ``max_output_gigapixels``.
        """
        work, limit = Work(frames, width, height), settings.max_output_gigapixels
        self.encoded = self._charged(self.encoded, work, limit, f"The output would have {_frames(work)}")

    def _charged(self, used: int, work: Work, limit: float, subject: str) -> int:
        """The use after some work; an error says what was asked for, what is allowed and what would fit."""
        limit = min(limit, self.most_gigapixels)
        each = work.width * work.height * work.weight
        after = used + work.frames * each
        if after <= limit * GIGA:
            return after
        left = max(0, round(limit * GIGA) - used)
        remaining = f", of which {left / GIGA:.4g} are left" if used else ""
        megapixels = left / (work.frames * work.weight) / _MEGAPIXEL
        fitting = [f"{left // each} frames of this size"] if left >= each else []
        if megapixels >= _LEAST_MEGAPIXELS:
            fitting.append(f"{work.frames} frames of {megapixels:.3g} megapixels")
        remedy = (
            f"{', or '.join(fitting)} would fit"
            if fitting
            else "use fewer, shorter or smaller videos, or fewer steps"
        )
        raise TooLarge(
            f"{subject}, {work.frames * each / GIGA:.4g} gigapixels in all; at most {limit:.4g} per {self.scope} "
            f"are allowed{remaining}: {remedy}."
        )


def quick_budget(settings: Settings, scope: str) -> Budget:
    """The budget of what is to take seconds, such as a preview; ``scope`` names it in sentences."""
    return Budget(settings.max_preview_gigapixels, scope)


def _frames(work: Work) -> str:
    return f"{work.frames} frames of {work.width} x {work.height} pixels"


def check_source(info: VideoInfo, settings: Settings) -> None:
    """Check a source against the limits of the settings.

    Raises:
        TooLarge: It is over ``max_source_mb``, ``max_pixels``, ``max_seconds`` or ``max_frames``.
    """
    size_mb = info.size_bytes / MB
    if size_mb > settings.max_source_mb:
        raise TooLarge(f"The video has {size_mb:.1f} MB; at most {settings.max_source_mb:g} MB are allowed.")
    check_size(info.width, info.height, max(info.length, info.frame_count), settings)
    if info.duration_seconds > settings.max_seconds:
        raise TooLarge(
            f"The video lasts {info.duration_seconds:.1f} seconds; at most {settings.max_seconds:g} are allowed."
        )


def check_size(width: int, height: int, frames: int, settings: Settings) -> None:
    """Check the size and the number of a source's frames against the limits of the settings.

    Raises:
        TooLarge: They are over ``max_pixels`` or ``max_frames``.
    """
    if width * height > settings.max_pixels:
        raise TooLarge(
            f"The video's frames have {width} x {height} pixels; at most {settings.max_pixels} are allowed."
        )
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
