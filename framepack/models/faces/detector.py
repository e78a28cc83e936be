"""Detect faces in a frame, each with five landmarks, with OpenCV's YuNet.

Every face is detected twice: in the whole frame, and then in its aligned crop, upright and large. On a portrait that
was shifted, rotated, scaled and made noisy, the second pass halved both the error and the jitter of the landmarks.
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
from framepack.models.faces.alignment import AlignedCrop, Landmarks, SimilarityTransform
from framepack.models.frames.device_frame import resize, to_device
from framepack.processors import limit_threads

if TYPE_CHECKING:
    from torch import Tensor

    from framepack.media.clip import Colors, Frame

BgrImage = NDArray[np.uint8]
"""BGR in OpenCV's layout, shape (height, width, 3)."""

MAX_SEARCH_SIDE: Final = 640  # larger frames are shrunk to it before detection
MIN_EYE_DISTANCE: Final = 5.0  # pixels; smaller faces cannot be restored
MIN_SCORE: Final = 0.5  # squirrels scored up to 0.52, a portrait 0.90
_NMS_THRESHOLD: Final = 0.3
_MAX_DEVIATION: Final = 0.5  # between the two passes, relative to the RMS radius of the landmarks
_MAX_FACES: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A detected face: landmarks in pixels, where integers are centers of pixels, and the score, 0 to 1."""

    landmarks: Landmarks
    score: float


class Detector(Protocol):
    """Detects faces."""

    def find(self, frame: BgrImage) -> list[Detection]:
        """Return all faces of a frame, in its pixels."""


class YuNet:
    """OpenCV's face detector. Thread-safe.

    Args:
        content: Content of the published ONNX file.

    Raises:
        ModelUnavailable: OpenCV cannot open it.
    """

    def __init__(self, content: bytes) -> None:
        import cv2

        limit_threads(cv2.getNumThreads, cv2.setNumThreads)
        size = (MAX_SEARCH_SIDE, MAX_SEARCH_SIDE)
        file, config = np.frombuffer(content, np.uint8), np.zeros(0, np.uint8)
        try:
            with _opencv_errors_only():
                self._network = cv2.FaceDetectorYN.create(
                    "onnx", file, config, size, MIN_SCORE, _NMS_THRESHOLD, _MAX_FACES
                )
        except cv2.error as error:
            raise ModelUnavailable("The weights do not fit the face detector.") from error
        self._lock = threading.Lock()

    def find(self, frame: BgrImage) -> list[Detection]:
        """Return all faces of a frame, in its pixels."""
        height, width = frame.shape[:2]
        with self._lock:  # the input size is a state of the network
            self._network.setInputSize((width, height))
            found: Any = self._network.detect(frame)[1]
        rows = () if found is None else found
        return [Detection(row[4:14].astype(np.float64).reshape(5, 2), float(row[14])) for row in rows]


@torch.inference_mode()
def find_faces(frame: Frame, detector: Detector, device: torch.device, colors: Colors) -> list[Detection]:
    """Return all faces of a frame that are large enough to restore.

    A frame whose longer side exceeds 640 pixels is shrunk for detection.

    Args:
        frame: In host or device memory.
        detector: Detects faces.
        device: Device to convert and shrink the frame on.
        colors: Color space of its YUV samples if it is in host memory.

    Returns:
        Faces in pixels of the original frame.
    """
    shrink = max(1.0, max(frame.width, frame.height) / MAX_SEARCH_SIDE)
    columns, rows = (max(1, round(side / shrink)) for side in (frame.width, frame.height))
    rgb = to_device([frame], device, torch.float32, colors)
    small = resize(rgb, columns, rows) if shrink > 1 else rgb
    enlarge = np.array([frame.width / columns, frame.height / rows])
    detections = [
        Detection((face.landmarks + 0.5) * enlarge - 0.5, face.score) for face in detector.find(_to_bgr(small[0]))
    ]
    return [
        Detection(_refined(face.landmarks, rgb[0], detector), face.score)
        for face in detections
        if _eye_distance(face.landmarks) >= MIN_EYE_DISTANCE
    ]


def rms_radius(landmarks: Landmarks) -> float:
    """Return the root mean square distance of landmarks from their center, in pixels: the face's size."""
    return float(np.sqrt(((landmarks - landmarks.mean(0)) ** 2).sum(1).mean()))


def _refined(landmarks: Landmarks, rgb: Tensor, detector: Detector) -> Landmarks:
    """Detect a face of ``rgb``, (3, H, W), again in its aligned crop; return the better landmarks."""
    crop = AlignedCrop.from_landmarks(landmarks, rgb.shape[-1], rgb.shape[-2])
    if crop is None:
        return landmarks
    expected = _transformed(landmarks, crop.transform)
    candidates = [face.landmarks for face in detector.find(_to_bgr(crop.extract(rgb)))]
    nearest = min(candidates, key=lambda face: _distance(face, expected), default=None)
    if nearest is None or _distance(nearest, expected) > _MAX_DEVIATION * rms_radius(expected):
        return landmarks
    return _transformed(nearest, crop.transform.inverse())


def _to_bgr(rgb: Tensor) -> BgrImage:
    """Convert a frame (3, H, W) in 0..1 to OpenCV's layout in host memory."""
    levels = rgb.flip(0).permute(1, 2, 0).mul(255).round_().to(torch.uint8)
    return np.ascontiguousarray(levels.cpu().numpy())


def _transformed(landmarks: Landmarks, transform: SimilarityTransform) -> Landmarks:
    return torch.stack(transform(*torch.from_numpy(landmarks.T)), 1).numpy()


def _distance(one: Landmarks, other: Landmarks) -> float:
    return float(np.linalg.norm(one - other, axis=1).mean())


def _eye_distance(landmarks: Landmarks) -> float:
    """Distance between the eyes, in pixels."""
    return float(np.linalg.norm(landmarks[1] - landmarks[0]))


@contextlib.contextmanager
def _opencv_errors_only() -> Iterator[None]:
    """Suppress OpenCV's warning that its engine ignores the target device, which is never set here."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
