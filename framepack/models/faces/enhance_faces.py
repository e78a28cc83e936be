"""Video with its faces restored: found in the source, restored and pasted in the upscaled frames.

Faces are looked for in the source's frames, where it costs least, and followed over time. The upscaler works on
every frame once. Each face is then taken from the upscaled frame, turned upright, restored, and what that changed is
put back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from framepack.media.iteration import closing
from framepack.models.faces.alignment import Placement
from framepack.models.faces.blending import pasted
from framepack.models.faces.detector import find_faces
from framepack.models.faces.tracking import Face, Tracker
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.frames.scene_cuts import is_cut, thumbnail
from framepack.models.upscale.upscale_frames import in_a_row

if TYPE_CHECKING:
    from framepack.media.clip import Colors, Frame
    from framepack.models.faces.detector import Detector
    from framepack.models.faces.restorer import FaceRestorer
    from framepack.models.frames.scene_cuts import Thumbnail

Upscale = Callable[[Iterator["Frame"]], Iterator[DeviceFrame]]
"""Frames to as many larger ones; successive frames that are one object become one object. Closes what it is given."""

_MOST_WAITING: Final = 4  # frames that wait for company in the restorer's batch


@dataclass(frozen=True, slots=True)
class FaceModels:
    """What restoring faces takes."""

    detector: Detector
    restorer: FaceRestorer


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """A source frame, how often it comes in a row, and its faces."""

    frame: Frame
    count: int
    faces: Sequence[Face]


@dataclass(frozen=True, slots=True, eq=False)
class _Upscaled:
    """An upscaled frame, how often it comes in a row, and where its faces lie and how much they show."""

    frame: DeviceFrame
    count: int
    places: Sequence[tuple[Placement, float]]


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
        frames: all of one size; closed at the end.
        upscale: makes them larger.
        models: find and restore faces.
        colors: what the YUV samples of ``frames`` mean.
        check: called between pieces of work; what it raises ends the work.

    Yields:
        As many frames as there are ``frames``; one without a face is the upscaled frame itself.

    Raises:
        OutOfMemory: not even one face fits.
    """
    ahead: deque[_Watched] = deque()

    def watched() -> Iterator[Frame]:
        with closing(_watched(frames, models, colors, check)) as found:
            for each in found:
                ahead.append(each)
                yield from repeat(each.frame, each.count)

    with closing(upscale(watched())) as upscaled:
        waiting: list[_Upscaled] = []
        for frame, count in in_a_row(upscaled, check):
            source = ahead.popleft()
            waiting.append(_Upscaled(frame, count, _places(source, frame)))
            faces = sum(len(each.places) for each in waiting)
            if not faces or faces >= models.restorer.at_once() or len(waiting) >= _MOST_WAITING:
                yield from _finish(waiting, models.restorer, check)
        yield from _finish(waiting, models.restorer, check)


def _watched(
    frames: Iterator[Frame], models: FaceModels, colors: Colors, check: Callable[[], None]
) -> Iterator[_Watched]:
    """Find and follow faces, scene by scene; frames come out a few later than they go in."""
    tracker = Tracker()
    waiting: deque[tuple[Frame, int]] = deque()
    before: Thumbnail | None = None

    def out(images: Iterable[list[Face]]) -> Iterator[_Watched]:
        for faces in images:
            yield _Watched(*waiting.popleft(), faces)

    with closing(frames):
        for frame, count in in_a_row(frames, check):
            after = thumbnail(frame)
            if before is not None and is_cut(before, after):
                yield from out(tracker.end_scene())
            before = after
            waiting.append((frame, count))
            yield from out(tracker.see(find_faces(frame, models.detector, models.restorer.device.place, colors)))
        yield from out(tracker.end_scene())


def _places(source: _Watched, frame: DeviceFrame) -> list[tuple[Placement, float]]:
    """Where the faces of a source frame lie in its upscaled one, the largest last and so on top."""
    across, down = frame.width / source.frame.width, frame.height / source.frame.height
    places = []
    for face in source.faces:
        landmarks = (face.landmarks + 0.5) * (across, down) - 0.5
        placement = Placement.of(landmarks, frame.width, frame.height)
        if placement is not None:
            places.append((placement, face.strength))
    return sorted(places, key=lambda place: -place[0].upright.scale)


def _finish(waiting: list[_Upscaled], restorer: FaceRestorer, check: Callable[[], None]) -> Iterator[DeviceFrame]:
    """Restore the faces of the frames that wait, hand the frames out as often as they came, and forget them."""
    at_once = restorer.at_once()
    crops = [(each.frame, placement) for each in waiting for placement, _ in each.places]
    changes: list[Tensor] = []
    for start in range(0, len(crops), at_once):
        check()
        changes += _changes(crops[start : start + at_once], restorer)
    done, waiting[:] = waiting[:], []
    for each in done:
        own, changes = changes[: len(each.places)], changes[len(each.places) :]
        frame = _with_faces(each, own) if own else each.frame
        yield from repeat(frame, each.count)


@torch.inference_mode()
def _changes(crops: Sequence[tuple[DeviceFrame, Placement]], restorer: FaceRestorer) -> list[Tensor]:
    """What restoring changes in each face, upright: (3, 512, 512)."""
    faces = torch.stack([placement.seen(frame.tensor) for frame, placement in crops])
    return list(restorer(faces) - faces.to(restorer.device.place))


def _with_faces(upscaled: _Upscaled, changes: Sequence[Tensor]) -> DeviceFrame:
    tensor = upscaled.frame.tensor
    faces = [
        (placement, change.to(tensor.device), strength)
        for (placement, strength), change in zip(upscaled.places, changes, strict=True)
    ]
    return DeviceFrame(pasted(tensor, faces), upscaled.frame.colors)
