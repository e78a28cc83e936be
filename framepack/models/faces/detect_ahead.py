"""Detect faces in frames, on a GPU ahead of the network that upscales them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from framepack.files.parallel import in_parallel
from framepack.media.iteration import count_repeats
from framepack.models.faces.detector import Detection, Detector, find_faces
from framepack.models.frames.scene_cuts import thumbnail

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.models.frames.scene_cuts import Thumbnail

_AHEAD: Final = {"cuda": 4, "cpu": 0}  # on a CPU the detector would only take cores from the network


@dataclass(frozen=True, slots=True, eq=False)
class DetectedFrame:
    """A source frame, the number of times it is repeated, its thumbnail, and the faces in it."""

    frame: Frame
    count: int
    thumbnail: Thumbnail
    faces: list[Detection]


def detect_ahead(
    frames: Iterator[Frame], detector: Detector, device: torch.device, colors: Colors, check: Callable[[], None]
) -> Iterator[DetectedFrame]:
    """Detect the faces of each frame.

    On a GPU a thread detects faces in up to four frames that nobody has asked for yet. It converts and shrinks them
    in a CUDA stream of its own: in the network's stream it would wait, frame by frame, until the network has finished
    what it was given.

    Args:
        frames: In host or device memory; a repeated frame is one object several times in a row.
        detector: Detects faces.
        device: Device to convert and shrink frames on.
        colors: Color space of the YUV samples of frames in host memory.
        check: Called for every frame; may raise an error to stop.

    Yields:
        The frames in order. An error of the detector is raised in the place of its frame.
    """
    detect = _InStream(detector, device, colors)
    items = ((frame, count, detect.event()) for frame, count in count_repeats(frames, check))
    ahead = _AHEAD[device.type]
    return in_parallel(detect, items, ahead=ahead + 1, workers=1, name="faces") if ahead else map(detect, items)


class _InStream:
    """Detects faces with a CUDA stream of its own.

    The frame stays alive until its faces are known, and the result is in host memory, so that nothing of the stream's
    work is left when a frame's memory is used again.
    """

    def __init__(self, detector: Detector, device: torch.device, colors: Colors) -> None:
        self._detector, self._device, self._colors = detector, device, colors
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def event(self) -> Any:
        """An event after the work that was given to the GPU so far, which may compute the frame."""
        return None if self._stream is None else torch.cuda.current_stream(self._device).record_event()

    def __call__(self, item: tuple[Frame, int, Any]) -> DetectedFrame:
        """Detect the faces of a frame, which comes so many times and exists after an event."""
        frame, count, event = item
        if self._stream is not None:
            self._stream.wait_event(event)
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            small = thumbnail(frame)
            return DetectedFrame(frame, count, small, find_faces(frame, self._detector, self._device, self._colors))
