"""Restoring faces on a real GPU: the frames of the CPU, in batches, from frames that never leave the device."""

from __future__ import annotations

import pytest
import torch

from framepack.media.clip import Colors
from framepack.models.faces.enhance_faces import FaceModels, enhance_faces
from framepack.models.faces.restorer import FaceRestorer, load_face_network
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.memory.device import Device
from tests.support.faces import CPU, Known, doubled, drawn, enhanced, landmarks_of, random_gfpgan
from tests.support.interpolation import noise, psnr

pytestmark = pytest.mark.gpu

FACES = [landmarks_of((110, 90), 60, 20), landmarks_of((200, 100), 40)]


@pytest.fixture
def gpu() -> Device:
    """The GPU."""
    return Device.find("cuda")


@pytest.mark.parametrize("shape", [{}, {"narrow": 1, "styles": 512}], ids=["narrow", "full"])
def test_gpu_faces_match_cpu_faces(shape: dict[str, float], gpu: Device) -> None:
    """With convolutions in TF32, restored faces are within 48 dB of single precision."""
    state, faces = random_gfpgan(**shape), noise(2, 512, 512)  # type: ignore[arg-type]
    made = FaceRestorer(load_face_network(state), gpu)(faces)
    assert made.is_cuda
    assert psnr(made.cpu(), FaceRestorer(load_face_network(state), CPU)(faces)) > 48


def test_faces_of_a_video_are_restored(gpu: Device) -> None:
    """Frames on the device come out there, with the faces that the CPU restores."""
    network = random_gfpgan()
    images = torch.stack([drawn((240, 180), FACES, seed) for seed in range(3)])
    frames = [DeviceFrame(image.to(gpu.torch_device), Colors()) for image in images]
    restorer = FaceRestorer(load_face_network(network), gpu)
    models = FaceModels(Known(FACES), restorer)

    made = list(enhance_faces(iter(frames), doubled, models, colors=Colors(), check=lambda: None))

    assert restorer.batch_size() > 1
    for frame, expected in zip(
        made, enhanced(images, Known(FACES), FaceRestorer(load_face_network(network), CPU)), strict=True
    ):
        assert frame.tensor.is_cuda
        assert psnr(frame.tensor.cpu(), expected.tensor) > 45
