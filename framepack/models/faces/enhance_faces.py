"""Upscale a video and restore its faces: detect them in source frames, restore them in upscaled frames.

Faces are detected in the source frames, where it is cheapest, and tracked over time. Every frame is upscaled once.
Each face is then extracted from the upscaled frame, aligned and restored, and the change is pasted back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from framepack.closing import closing
from framepack.media.iteration import count_repeats
from framepack.models.faces.alignment import AlignedCrop
from framepack.models.faces.blending import paste_faces
from framepack.models.faces.detect_ahead import detect_ahead
from framepack.models.faces.tracking import Face, Tracker
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.frames.scene_cuts import is_cut

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.models.faces.detector import Detector
    from framepack.models.faces.restorer import FaceRestorer
    from framepack.models.frames.scene_cuts import Thumbnail

Upscale = Callable[[Iterator["Frame"]], Iterator[DeviceFrame]]
"""Upscales frames; a repeated frame stays one object. Closes its input at the end."""

_MAX_WAITING: Final = 4  # frames that wait until the restorer's batch is full


@dataclass(frozen=True, slots=True)
class FaceModels:
    """The two models that face restoration needs."""

    detector: Detector
    restorer: FaceRestorer


@dataclass(frozen=True, slots=True, eq=False)
class _TrackedFrame:
    """A source frame, the number of times it is repeated, and its tracked faces."""

    frame: Frame
    count: int
    faces: Sequence[Face]


@dataclass(frozen=True, slots=True, eq=False)
class _UpscaledFrame:
    """An upscaled frame, the number of times it is repeated, and the crop and strength of each of its faces."""

    frame: DeviceFrame
    count: int
    faces: Sequence[tuple[AlignedCrop, float]]


def enhance_faces(
    frames: Iterator[Frame],
    upscale: Upscale,
    models: FaceModels,
    *,
    colors: Colors,
    check: Callable[[], None],
) -> Iterator[DeviceFrame]:
    """Upscale frames and restore their faces.

    Args:
        frames: All of one size; closed at the end.
        upscale: Upscales them.
        models: Detector and restorer.
        colors: Color space of the YUV samples of ``frames``.
        check: Called between steps; may raise an error to stop.

    Yields:
        As many frames as ``frames``; a frame without faces is the upscaled frame itself.

    Raises:
        OutOfMemory: Not even one face fits into memory.
    """
    # The upscaler pulls source frames through `sources`, in batches of its own choice. What was tracked for them
    # waits in `pending` until their upscaled frames come back, in the same order.
    pending: deque[_TrackedFrame] = deque()

    def sources() -> Iterator[Frame]:
        with closing(_tracked(frames, models, colors, check)) as tracked:
            for each in tracked:
                pending.append(each)
                yield from repeat(each.frame, each.count)

    with closing(upscale(sources())) as upscaled:
        waiting: list[_UpscaledFrame] = []
        for frame, count in count_repeats(upscaled, check):
            source = pending.popleft()
            waiting.append(_UpscaledFrame(frame, count, _aligned_crops(source, frame)))
            faces = sum(len(each.faces) for each in waiting)
            if not faces or faces >= models.restorer.batch_size() or len(waiting) >= _MAX_WAITING:
                yield from _flush(waiting, models.restorer, check)
        yield from _flush(waiting, models.restorer, check)


def _tracked(
    frames: Iterator[Frame], models: FaceModels, colors: Colors, check: Callable[[], None]
) -> Iterator[_TrackedFrame]:
    """Detect and track faces, scene by scene; frames are delayed by the tracker's lookahead."""
    tracker = Tracker()
    waiting: deque[tuple[Frame, int]] = deque()
    previous: Thumbnail | None = None

    def release(faces_of_frames: Iterable[list[Face]]) -> Iterator[_TrackedFrame]:
        for faces in faces_of_frames:
            yield _TrackedFrame(*waiting.popleft(), faces)

    device = models.restorer.device.torch_device
    with closing(frames), closing(detect_ahead(frames, models.detector, device, colors, check)) as detected:
        for each in detected:
            if previous is not None and is_cut(previous, each.thumbnail):
                yield from release(tracker.end_scene())
            previous = each.thumbnail
            waiting.append((each.frame, each.count))
            yield from release(tracker.update(each.faces))
        yield from release(tracker.end_scene())


def _aligned_crops(source: _TrackedFrame, frame: DeviceFrame) -> list[tuple[AlignedCrop, float]]:
    """Return crop and strength of a source frame's faces in the upscaled frame; the largest is last, so on top."""
    scale_x, scale_y = frame.width / source.frame.width, frame.height / source.frame.height
    crops = []
    for face in source.faces:
        landmarks = (face.landmarks + 0.5) * (scale_x, scale_y) - 0.5
        crop = AlignedCrop.from_landmarks(landmarks, frame.width, frame.height)
        if crop is not None:
            crops.append((crop, face.strength))
    return sorted(crops, key=lambda each: -each[0].transform.scale)


def _flush(waiting: list[_UpscaledFrame], restorer: FaceRestorer, check: Callable[[], None]) -> Iterator[DeviceFrame]:
    """Restore the faces of the waiting frames, yield each frame as often as it is repeated, and empty the list."""
    batch_size = restorer.batch_size()
    crops = [(each.frame, crop) for each in waiting for crop, _ in each.faces]
    changes: list[Tensor] = []
    for start in range(0, len(crops), batch_size):
        check()
        changes += _changes(crops[start : start + batch_size], restorer)
    finished, waiting[:] = waiting[:], []
    for each in finished:
        own, changes = changes[: len(each.faces)], changes[len(each.faces) :]
        frame = _with_faces(each, own) if own else each.frame
        yield from repeat(frame, each.count)


@torch.inference_mode()
def _changes(crops: Sequence[tuple[DeviceFrame, AlignedCrop]], restorer: FaceRestorer) -> list[Tensor]:
    """Restore faces and return the change of each crop: (3, 512, 512)."""
    faces = torch.stack([crop.extract(frame.tensor) for frame, crop in crops])
    return list(restorer(faces) - faces.to(restorer.device.torch_device))


def _with_faces(upscaled: _UpscaledFrame, changes: Sequence[Tensor]) -> DeviceFrame:
    tensor = upscaled.frame.tensor
    faces = [
        (crop, change.to(tensor.device), strength)
        for (crop, strength), change in zip(upscaled.faces, changes, strict=True)
    ]
    return DeviceFrame(paste_faces(tensor, faces), upscaled.frame.colors)
