"""Drawn faces with known landmarks, small networks that restore them, and detectors that know where they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from framepack.media.clip import Colors, Frame
from framepack.models.faces.alignment import FACE_SIZE, Landmarks
from framepack.models.faces.detector import BgrImage, Detection
from framepack.models.faces.enhance_faces import FaceModels, enhance_faces
from framepack.models.faces.restorer import FaceRestorer
from framepack.models.frames.device_frame import DeviceFrame, resize
from framepack.models.memory.device import Device
from framepack.models.spec import ModelRow
from framepack.models.weights.catalog import Catalog
from tests.support.interpolation import device_frames, noise
from tests.support.weights import checkpoint, published
from tests.support.yunet import green_yunet

CPU = Device(torch.device("cpu"))

# A face of width 1 whose middle is (0, 0), by rule of thumb.
_FACE = np.array([(-0.22, -0.1), (0.22, -0.1), (0.0, 0.14), (-0.18, 0.34), (0.18, 0.34)])


def landmarks_of(middle: tuple[float, float], width: float, tilt_degrees: float = 0) -> Landmarks:
    """The landmarks of a face: where its middle is, how wide it is, and how far it is turned clockwise."""
    turn = math.radians(tilt_degrees)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    found: Landmarks = width * _FACE @ rotation + np.array(middle)
    return found


def drawn(size: tuple[int, int], faces: Sequence[Landmarks], seed: int = 0) -> Tensor:
    """Textured faces on a texture: RGB, shape (3, height, width), 0..1."""
    width, height = size
    frame = 0.3 + 0.3 * noise(1, height, width, seed)[0]
    skin = 0.15 * noise(1, height, width, seed + 1)[0]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for face in faces:
        middle, across = face[:3].mean(0), float(np.linalg.norm(face[1] - face[0]))
        spots = [(middle, 1.35, (0.75, 0.55, 0.45)), *((each, 0.16, (0.2, 0.15, 0.3)) for each in face[[0, 1]])]
        mouth = [face[3] + step / 6 * (face[4] - face[3]) for step in range(7)]
        spots += [(face[2], 0.1, (0.6, 0.35, 0.3)), *((each, 0.13, (0.7, 0.2, 0.2)) for each in mouth)]
        for (left, top), radius, color in spots:
            share = torch.sigmoid(radius * across - torch.hypot(x - left, y - top))
            frame = frame + share * (torch.tensor(color)[:, None, None] * 0.8 + skin - frame)
    return frame.clamp(0, 1)


class Known:
    """A detector with given answers, frame by frame; the last one is repeated."""

    def __init__(self, *frames: Sequence[Landmarks], score: float = 0.9) -> None:
        self._frames = frames
        self._score = score
        self.sizes: list[tuple[int, int]] = []

    def find(self, frame: BgrImage) -> list[Detection]:
        """The faces of the next frame; of faces upright, which are looked at once more, nothing is known."""
        if frame.shape[:2] == (FACE_SIZE, FACE_SIZE):
            return []
        seen = self._frames[min(len(self.sizes), len(self._frames) - 1)]
        self.sizes.append((frame.shape[1], frame.shape[0]))
        return [Detection(landmarks, self._score) for landmarks in seen]


class Changing(nn.Module):
    """In GFPGAN's place: applies a function to frames in -1..1, and notes how many it gets."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._change = change
        self.batches: list[int] = []

    def forward(self, faces: Tensor) -> Tensor:
        """Return what GFPGAN returns."""
        self.batches.append(len(faces))
        return self._change(faces)


def restorer(change: Callable[[Tensor], Tensor] = torch.clone) -> FaceRestorer:
    """A restorer that does this to frames in -1..1; without it, one that changes nothing."""
    return FaceRestorer(Changing(change), CPU)


def doubled(frames: Iterator[Frame]) -> Iterator[DeviceFrame]:
    """An upscaler that draws each frame twice as large."""
    made: DeviceFrame | None = None
    last: Frame | None = None
    for frame in frames:
        if made is None or frame is not last:
            assert isinstance(frame, DeviceFrame)
            tensor = resize(frame.tensor[None], 2 * frame.width, 2 * frame.height)[0]
            made, last = DeviceFrame(tensor.to(torch.float16), frame.colors), frame
        yield made


def enhanced(frames: Tensor | Sequence[Frame], detector: Known, model: FaceRestorer) -> list[DeviceFrame]:
    """Restore the faces of frames, drawn twice as large."""
    given = iter(device_frames(frames) if isinstance(frames, Tensor) else frames)
    models = FaceModels(detector, model)
    return list(enhance_faces(given, doubled, models, colors=Colors(), check=lambda: None))


def random_gfpgan(seed: int = 0, *, narrow: float = 1 / 32, styles: int = 16) -> dict[str, Tensor]:
    """Seeded weights of a GFPGAN, by default a very narrow one, under the published keys."""
    from spandrel.architectures.GFPGAN import GFPGAN

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        state: dict[str, Tensor] = GFPGAN(narrow=narrow, num_style_feat=styles).state_dict()
        for key, value in state.items():  # biases and strengths of noise start at zero, and would go unnoticed
            if key.endswith("bias") or value.numel() == 1:
                state[key] = value + 0.1 * torch.randn(value.shape)
    return state


def published_faces(folder: Path, **shape: Any) -> Catalog:
    """Write a detector of green squares and a narrow GFPGAN in the published forms; return their table."""
    detector, network = green_yunet(), checkpoint(random_gfpgan(**shape), "params_ema")
    (folder / "green.onnx").write_bytes(detector)
    (folder / "narrow.pth").write_bytes(network)
    return Catalog(
        (
            ModelRow("Green", "face", "test", 1, (published(detector, "green.onnx"),), 1, "Sees green squares"),
            ModelRow("Narrow", "face", "test", 1, (published(network, "narrow.pth"),), 2, "A narrow GFPGAN"),
        )
    )
