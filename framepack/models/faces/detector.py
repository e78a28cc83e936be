"""Find faces in a frame, each with five landmarks: OpenCV's YuNet behind a protocol of one method.

Every face is looked at twice: where the whole frame shows it, and then upright and large. On a portrait that was
shifted, turned, scaled and made noisy, the second look halved both the landmarks' error and their trembling.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from framepack.errors import ModelUnavailable
from framepack.models.faces.alignment import Landmarks, Placement, Similarity
from framepack.models.frames.device_frame import to_device
from framepack.models.frames.scaling import resize

if TYPE_CHECKING:
    from torch import Tensor

    from framepack.media.clip import Colors, Frame

Pixels = NDArray[np.uint8]
"""Blue, green and red as OpenCV has them, shape (height, width, 3)."""

LONGEST_SIDE: Final = 640  # of the frames that are searched; smaller ones stay as they are
LEAST_EYE_DISTANCE: Final = 5.0  # pixels; closer ones are too small to restore
LEAST_SCORE: Final = 0.5  # squirrels were seen with up to 0.52, a portrait with 0.90
_OVERLAP: Final = 0.3
_AGREEMENT: Final = 0.5  # how far apart the two looks may be, in spreads of the landmarks
_MOST: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face: its landmarks in pixels, whole numbers being centers of pixels, and how sure it is, 0 to 1."""

    landmarks: Landmarks
    score: float


class Detector(Protocol):
    """Finds faces."""

    def find(self, frame: Pixels) -> list[Detection]:
        """All faces of a frame, in its pixels."""


class YuNet:
    """OpenCV's detector; several threads may use it.

    Args:
        content: the published ONNX file.

    Raises:
        ModelUnavailable: OpenCV cannot open it.
    """

    def __init__(self, content: bytes) -> None:
        import cv2

        size = (LONGEST_SIDE, LONGEST_SIDE)
        file, config = np.frombuffer(content, np.uint8), np.zeros(0, np.uint8)
        try:
            with _only_errors():
                self._network = cv2.FaceDetectorYN.create("onnx", file, config, size, LEAST_SCORE, _OVERLAP, _MOST)
        except cv2.error as error:
            raise ModelUnavailable("The weights do not fit the network that finds faces.") from error
        self._lock = threading.Lock()

    def find(self, frame: Pixels) -> list[Detection]:
        """All faces of a frame, in its pixels."""
        height, width = frame.shape[:2]
        with self._lock:  # the size belongs to the network, not to the call
            self._network.setInputSize((width, height))
            found: Any = self._network.detect(frame)[1]
        rows = () if found is None else found
        return [Detection(row[4:14].astype(np.float64).reshape(5, 2), float(row[14])) for row in rows]


@torch.inference_mode()
def find_faces(frame: Frame, detector: Detector, device: torch.device, colors: Colors) -> list[Detection]:
    """All faces of a frame that are large enough to restore.

    The frame is searched at 640 pixels on its longer side if it is larger.

    Args:
        frame: on the host or on a device.
        detector: finds them.
        device: where to convert and shrink the frame.
        colors: what its YUV samples mean if it is on the host.

    Returns:
        Faces in pixels of the frame.
    """
    shrink = max(1.0, max(frame.width, frame.height) / LONGEST_SIDE)
    columns, rows = (max(1, round(side / shrink)) for side in (frame.width, frame.height))
    rgb = to_device([frame], device, torch.float32, colors)
    small = resize(rgb, columns, rows) if shrink > 1 else rgb
    enlarge = np.array([frame.width / columns, frame.height / rows])
    found = [
        Detection((face.landmarks + 0.5) * enlarge - 0.5, face.score) for face in detector.find(_levels(small[0]))
    ]
    return [
        Detection(_looked_closely(face.landmarks, rgb[0], detector), face.score)
        for face in found
        if _eye_distance(face.landmarks) >= LEAST_EYE_DISTANCE
    ]


def spread(landmarks: Landmarks) -> float:
    """How far landmarks are from their middle, in pixels (root mean square)."""
    return float(np.sqrt(((landmarks - landmarks.mean(0)) ** 2).sum(1).mean()))


def _looked_closely(landmarks: Landmarks, rgb: Tensor, detector: Detector) -> Landmarks:
    """The landmarks of a face that was found in ``rgb``, (3, H, W), looked for once more where it is upright."""
    placement = Placement.of(landmarks, rgb.shape[-1], rgb.shape[-2])
    if placement is None:
        return landmarks
    expected = _moved(landmarks, placement.upright)
    again = [face.landmarks for face in detector.find(_levels(placement.seen(rgb)))]
    nearest = min(again, key=lambda face: _distance(face, expected), default=None)
    if nearest is None or _distance(nearest, expected) > _AGREEMENT * spread(expected):
        return landmarks
    return _moved(nearest, placement.upright.inverse())


def _levels(rgb: Tensor) -> Pixels:
    """A frame (3, H, W) in 0..1 as OpenCV has it, on the host."""
    levels = rgb.flip(0).permute(1, 2, 0).mul(255).round_().to(torch.uint8)
    return np.ascontiguousarray(levels.cpu().numpy())


def _moved(landmarks: Landmarks, similarity: Similarity) -> Landmarks:
    return torch.stack(similarity(*torch.from_numpy(landmarks.T)), 1).numpy()


def _distance(one: Landmarks, other: Landmarks) -> float:
    return float(np.linalg.norm(one - other, axis=1).mean())


def _eye_distance(landmarks: Landmarks) -> float:
    """Distance between the eyes, in pixels."""
    return float(np.linalg.norm(landmarks[1] - landmarks[0]))


@contextlib.contextmanager
def _only_errors() -> Iterator[None]:
    """Keep OpenCV from warning that its engine does not let the target be chosen, which nobody asked for."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
