"""Finding faces with OpenCV: on a network that sees green squares, and on the published one where it is at hand."""

from __future__ import annotations

import hashlib
import threading

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from framepack.errors import ModelUnavailable
from framepack.media.clip import Colors, HostFrame
from framepack.models.faces.alignment import FACE_SIZE, AlignedCrop, Landmarks
from framepack.models.faces.detector import BgrImage, Detection, YuNet, find_faces
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.checkpoints import read_published
from tests.support.at_hand import at_hand
from tests.support.clips import to_frame
from tests.support.faces import Known, landmarks_of
from tests.support.yunet import CELL, SHAPE, green_yunet

CPU = torch.device("cpu")


def with_squares(width: int, height: int, *corners: tuple[int, int], times: int = 1, green: float = 1.0) -> Tensor:
    """Gray with green squares, drawn so many times larger: (3, height, width), 0..1."""
    frame = torch.full((3, height, width), 0.4)
    for x, y in corners:
        frame[:, y : y + CELL * times, x : x + CELL * times] = torch.tensor([0, green, 0])[:, None, None]
    return frame


def seen_at(corner: tuple[int, int]) -> Landmarks:
    """The landmarks that a green square in this corner means."""
    landmarks: Landmarks = SHAPE + np.array(corner)
    return landmarks


@pytest.fixture(scope="module")
def green() -> YuNet:
    """OpenCV's detector with the network that sees green squares."""
    return YuNet(green_yunet())


@pytest.mark.parametrize("size", [(160, 120), (202, 90), (640, 360), (133, 47)])
def test_every_face_is_found(green: YuNet, size: tuple[int, int]) -> None:
    """All faces are found where they are, in any size of frame, the surest first."""
    corners = [(16, 24), (size[0] // 16 * 8, 8)]
    frame = with_squares(*size, *corners)
    found = find_faces(DeviceFrame(frame, Colors()), green, CPU, Colors())
    assert len(found) == 2
    for face, corner in zip(sorted(found, key=lambda face: face.landmarks[2, 0]), sorted(corners), strict=True):
        assert np.abs(face.landmarks - seen_at(corner)).max() < 0.01
        assert face.score > 0.99


def test_large_frames_are_shrunk_for_detection(green: YuNet) -> None:
    """The landmarks of a frame three times too large are found three times as far apart."""
    frame = with_squares(1920, 1080, (240, 360), times=3)
    [face] = find_faces(DeviceFrame(frame, Colors()), green, CPU, Colors())
    assert np.abs(face.landmarks - ((seen_at((80, 120)) + 0.5) * 3 - 0.5)).max() < 0.01


def test_host_frames_are_converted_with_their_colors(green: YuNet) -> None:
    """The decoder's own YUV is understood."""
    rgb = (with_squares(160, 120, (48, 40)).permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    [face] = find_faces(HostFrame(to_frame(rgb, "yuv420p")), green, CPU, Colors())
    assert np.abs(face.landmarks - seen_at((48, 40))).max() < 0.01


def test_tiny_faces_and_low_scores_are_ignored(green: YuNet) -> None:
    """A score under one half is no face, and neither are eyes less than five pixels apart."""

    def count(frame: Tensor) -> int:
        return len(find_faces(DeviceFrame(frame, Colors()), green, CPU, Colors()))

    assert count(with_squares(160, 120, (48, 40), green=0.55)) == 1
    assert count(with_squares(160, 120, (48, 40), green=0.45)) == 0

    narrow = [landmarks_of((80, 60), eyes / 0.44) for eyes in (4.9, 5.1)]
    found = find_faces(DeviceFrame(torch.zeros(3, 120, 160), Colors()), Known(narrow), CPU, Colors())
    assert [float(np.ptp(face.landmarks[:2, 0])) for face in found] == [pytest.approx(5.1)]


class TwoLooks:
    """Sees a face where it is told, and upright where it is told."""

    def __init__(self, first: Landmarks, second: Landmarks) -> None:
        self._first, self._second = first, second

    def find(self, frame: BgrImage) -> list[Detection]:
        """The face; upright, another one that is surer, too."""
        if frame.shape[:2] == (FACE_SIZE, FACE_SIZE):
            return [Detection(self._second * 0.3, 0.95), Detection(self._second, 0.9)]
        return [Detection(self._first, 0.8)]


@pytest.mark.parametrize("off", [0, 20, 90])
def test_landmarks_are_refined_in_the_aligned_crop(off: int) -> None:
    """What is seen upright is believed, of several faces the nearest, unless it is far from the first look."""
    first = landmarks_of((200, 150), 80, 20)
    crop = AlignedCrop.from_landmarks(first, 400, 300)
    assert crop is not None
    back = crop.transform.inverse()
    upright = torch.stack(crop.transform(*torch.from_numpy(first.T)), 1).numpy() + off
    second = torch.stack(back(*torch.from_numpy(upright.T)), 1).numpy()

    frame = DeviceFrame(torch.zeros(3, 300, 400), Colors())
    [face] = find_faces(frame, TwoLooks(first, upright), CPU, Colors())

    assert np.abs(face.landmarks - (first if off == 90 else second)).max() < 1e-6
    assert face.score == 0.8


@pytest.mark.parametrize("size", [(2, 2), (1, 40), (16, 16)])
def test_very_small_frames_are_accepted(green: YuNet, size: tuple[int, int]) -> None:
    """A frame without room for a face has none."""
    assert find_faces(DeviceFrame(torch.full((3, *size), 0.5), Colors()), green, CPU, Colors()) == []


def test_threads_do_not_mix_their_frames(green: YuNet) -> None:
    """Frames of different sizes searched at the same time are each searched in their own size."""
    wrong: list[object] = []

    def search(width: int) -> None:
        for _ in range(8):
            [face] = find_faces(
                DeviceFrame(with_squares(width, 120, (width - 24, 40)), Colors()), green, CPU, Colors()
            )
            if np.abs(face.landmarks - seen_at((width - 24, 40))).max() > 0.01:
                wrong.append(face)

    threads = [threading.Thread(target=search, args=(width,)) for width in (80, 160, 240)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_another_onnx_file_is_rejected() -> None:
    """What OpenCV cannot open is refused in one sentence."""
    with pytest.raises(ModelUnavailable, match="do not fit the face detector"):
        YuNet(b"no network")


def test_opening_the_network_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """OpenCV's warning about a target that nobody set does not reach the log."""
    YuNet(green_yunet())
    assert capfd.readouterr() == ("", "")


# The published network, on photographs that are recognized by their hash. The project brings neither.

PORTRAITS = {  # eyes, nose and corners of the mouth, found by looking
    "58c1910407fa6a14728d1c3b672439d8ffe7337820ed45a56495311f20ec7cfb": [
        (149, 123), (204, 113), (176, 156), (163, 189), (214, 176)
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def published() -> YuNet:
    """OpenCV's detector with the published network."""
    row = CATALOG.find("YuNet")
    assert row is not None
    return YuNet(read_published(at_hand(row.weights[0].filename), row.weights[0]))


@pytest.mark.weights
@pytest.mark.parametrize("times", [1, 2, 4])
def test_the_published_network_finds_a_portraits_landmarks(published: YuNet, times: int) -> None:
    """The one face is found for sure, its landmarks 5 pixels off at most on average, at any size."""
    path = at_hand("facexlib_test.jpg")
    expected = PORTRAITS[hashlib.sha256(path.read_bytes()).hexdigest()]
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    rgb = frame.reformat(frame.width * times, frame.height * times, format="rgb24").to_ndarray()
    image = torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255

    [face] = find_faces(DeviceFrame(image, Colors()), published, CPU, Colors())

    assert face.score > 0.85
    assert np.linalg.norm(face.landmarks / times - np.array(expected), axis=1).mean() < 5


@pytest.mark.weights
@pytest.mark.parametrize("name", ["I0_0.png", "OST_009.png"])
def test_the_published_network_finds_no_faces_in_objects(published: YuNet, name: str) -> None:
    """Photographs without a face have none."""
    with av.open(str(at_hand(name))) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
    frame = torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255
    assert find_faces(DeviceFrame(frame, Colors()), published, CPU, Colors()) == []
