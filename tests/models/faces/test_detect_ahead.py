"""Detection ahead of the network: the same faces in the same order, few frames ahead, and nothing left running."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from framepack.errors import Cancelled
from framepack.media.clip import Colors, Frame
from framepack.models.faces import detect_ahead as module
from framepack.models.faces.alignment import FACE_SIZE
from framepack.models.faces.detect_ahead import DetectedFrame, detect_ahead
from framepack.models.faces.detector import BgrImage, Detection
from framepack.models.frames.device_frame import DeviceFrame
from tests.support.faces import Known, landmarks_of
from tests.support.interpolation import device_frames, noise

PLACES = [landmarks_of((60 + 4 * index, 60), 40) for index in range(9)]
CPU = torch.device("cpu")


def frames(count: int = 9) -> list[Frame]:
    """Different frames, the third of which comes twice."""
    made: list[Frame] = list(device_frames(noise(count, 120, 90)))
    return [*made[:3], *made[2:]]


def nothing() -> None:
    """Nobody cancels."""


@pytest.fixture
def _four_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr(module, "_AHEAD", {"cpu": 4})


def detected(detector: Known) -> list[DetectedFrame]:
    """All frames with their faces."""
    return list(detect_ahead(iter(frames()), detector, CPU, Colors(), nothing))


def test_frames_ahead_have_the_faces_of_frames_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Order, repeats and landmarks are the same; the detector sees each frame once."""
    in_turn = detected(Known(*([place] for place in PLACES)))
    monkeypatch.setattr(module, "_AHEAD", {"cpu": 4})
    detector = Known(*([place] for place in PLACES))

    ahead = detected(detector)

    assert [each.count for each in ahead] == [each.count for each in in_turn] == [1, 1, 2, *[1] * 6]
    assert [each.faces[0].landmarks.tolist() for each in ahead] == [
        each.faces[0].landmarks.tolist() for each in in_turn
    ]
    assert len(detector.sizes) == 9


@pytest.mark.usefixtures("_four_ahead")
def test_faces_are_detected_while_the_consumer_is_busy() -> None:
    """With the first frame in hand, the next four are looked at without being asked for, and no more."""
    detector, taken = Known([PLACES[0]]), itertools.count(1)
    most = 0

    def source() -> Iterator[Frame]:
        nonlocal most
        for frame in device_frames(noise(20, 120, 90)):
            most = next(taken)
            yield frame

    running = detect_ahead(source(), detector, CPU, Colors(), nothing)
    next(running)
    deadline = time.monotonic() + 30
    while len(detector.sizes) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert len(detector.sizes) == 5
    assert most == 6  # the sixth shows that the fifth does not come twice
    running.close()  # type: ignore[attr-defined]


class Failing(Known):
    """A detector that fails at the third frame."""

    def find(self, frame: BgrImage) -> list[Detection]:
        """Fail, or find a face."""
        if len(self.sizes) == 2 and frame.shape[:2] != (FACE_SIZE, FACE_SIZE):
            raise MemoryError("third")
        return super().find(frame)


@pytest.mark.usefixtures("_four_ahead")
def test_an_error_of_the_detector_is_raised_in_its_place() -> None:
    """The frames before it arrive, and the thread has ended."""
    running = detect_ahead(iter(frames()), Failing([PLACES[0]]), CPU, Colors(), nothing)
    assert len([next(running), next(running)]) == 2
    with pytest.raises(MemoryError, match="third"):
        next(running)
    assert not any(thread.name.startswith("faces") for thread in threading.enumerate())


@pytest.mark.usefixtures("_four_ahead")
def test_a_cancelled_job_leaves_no_thread() -> None:
    """What ``check`` raises ends the thread, too."""
    calls = itertools.count()

    def check() -> None:
        if next(calls) == 7:
            raise Cancelled("The job was cancelled.")

    endless = (DeviceFrame(noise(1, 120, 90)[0], Colors()) for _ in itertools.count())
    with pytest.raises(Cancelled):
        list(detect_ahead(endless, Known([PLACES[0]]), CPU, Colors(), check))
    assert not any(thread.name.startswith("faces") for thread in threading.enumerate())
