"""Video with restored faces: untouched without any, exact where restoring changes nothing, and steady."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from framepack.errors import Cancelled
from framepack.media.clip import Colors, Frame
from framepack.models.faces.alignment import Landmarks
from framepack.models.faces.enhance_faces import FaceModels, enhance_faces
from framepack.models.faces.restorer import FaceRestorer, load_face_network
from framepack.models.frames.device_frame import DeviceFrame
from framepack.models.upscale.upscale_frames import UpscaleTarget, upscale_frames
from framepack.models.upscale.upscaler import Upscaler
from tests.support.faces import (
    CPU,
    Changing,
    Known,
    doubled,
    drawn,
    enhanced,
    landmarks_of,
    random_gfpgan,
    restorer,
)
from tests.support.interpolation import device_frames, psnr
from tests.support.upscaling import compact

SIZE = (240, 180)
FACES = {
    "upright": landmarks_of((120, 90), 50),
    "tilted": landmarks_of((110, 100), 60, 35),
    "in the corner": landmarks_of((232, 172), 70, -20),
    "at the top": landmarks_of((90, 4), 80, 10),
}


def plain(frames: Tensor) -> list[DeviceFrame]:
    """Frames upscaled and nothing else."""
    return list(doubled(iter(device_frames(frames))))


def same(one: list[DeviceFrame], other: list[DeviceFrame]) -> bool:
    """Whether two videos are equal to the last bit."""
    return len(one) == len(other) and all(torch.equal(a.tensor, b.tensor) for a, b in zip(one, other, strict=True))


def negative(faces: Tensor) -> Tensor:
    """A change that nobody overlooks."""
    return -faces


@pytest.mark.parametrize("name", FACES)
def test_an_unchanged_face_leaves_the_upscaled_frame(name: str) -> None:
    """With a network that changes nothing, the frame is the upscaled frame: far above 45 dB."""
    frame = drawn(SIZE, [FACES[name]])[None]

    [made] = enhanced(frame, Known([FACES[name]]), restorer())

    assert psnr(made.tensor, plain(frame)[0].tensor) > 80


@pytest.mark.parametrize("name", FACES)
def test_an_unchanged_face_leaves_a_real_upscalers_frame(name: str) -> None:
    """The same holds on top of a network that upscales in tiles: what it drew is not blurred away."""
    upscaler = Upscaler(compact(scale=4), CPU)
    frame = device_frames(drawn(SIZE, [FACES[name]])[None])

    def upscale(frames: Iterator[Frame]) -> Iterator[DeviceFrame]:
        target = UpscaleTarget(480, 360, Colors())
        return upscale_frames(frames, upscaler, target, colors=Colors(), tile_size=128, check=lambda: None)

    models = FaceModels(Known([FACES[name]]), restorer())
    [made] = enhance_faces(iter(frame), upscale, models, colors=Colors(), check=lambda: None)

    [expected] = upscale(iter(frame))
    assert psnr(made.tensor, expected.tensor) > 80


@pytest.mark.parametrize("name", FACES)
def test_a_restored_face_is_pasted(name: str) -> None:
    """A face's negative appears around its landmarks, in the enlarged frame's pixels, and nowhere far from them."""
    frame = drawn(SIZE, [FACES[name]])[None]

    [made] = enhanced(frame, Known([FACES[name]]), restorer(negative))

    before = plain(frame)[0].tensor.float()
    changed = (made.tensor.float() - (1 - before)).abs().mean(0) < 0.02
    inside = [point for point in FACES[name] if 0 <= point[0] < SIZE[0] - 1 and 0 <= point[1] < SIZE[1] - 1]
    assert inside
    assert all(changed[round(2 * y), round(2 * x)] for x, y in inside)
    far = [(0, 0), (0, -1), (-1, 0), (-1, -1)][int(np.argmax([*_distances(FACES[name])]))]
    assert torch.equal(made.tensor[:, far[0], far[1]], before[:, far[0], far[1]].half())


def _distances(face: Landmarks) -> Iterator[float]:
    """How far the frame's corners are from a face."""
    for y, x in itertools.product((0, SIZE[1]), (0, SIZE[0])):
        yield float(np.hypot(*(face.mean(0) - (x, y))))


def test_frames_without_faces_are_the_upscaled_frames() -> None:
    """Where no face is seen, the frames are the upscaler's own objects, as many as came."""
    frames = torch.stack([drawn(SIZE, [], seed) for seed in (0, 1, 1)])
    own: list[DeviceFrame] = []

    def upscale(given: Iterator[Frame]) -> Iterator[DeviceFrame]:
        for frame in doubled(given):
            own.append(frame)
            yield frame

    models = FaceModels(Known([]), restorer(negative))
    made = list(enhance_faces(iter(device_frames(frames)), upscale, models, colors=Colors(), check=lambda: None))

    assert [id(frame) for frame in made] == [id(frame) for frame in own]
    assert len(made) == 3


def test_every_face_is_restored() -> None:
    """Of several faces in a frame each is changed as it would be alone."""
    faces = [landmarks_of((45, 60), 30), landmarks_of((120, 120), 36, 10), landmarks_of((200, 60), 32)]
    frame = drawn(SIZE, faces)[None]

    [together] = enhanced(frame, Known(faces), restorer(negative))

    before = plain(frame)[0].tensor.float()
    alone = [enhanced(frame, Known([face]), restorer(negative))[0].tensor.float() - before for face in faces]
    assert all(float(change.abs().max()) > 0.2 for change in alone)
    assert psnr(together.tensor.float() - before, alone[0] + alone[1] + alone[2]) > 60


def test_batches_equal_frames_processed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces of several frames restored together look as if each had been restored alone."""
    faces = [[landmarks_of((60 + 10 * index, 80), 40), landmarks_of((180, 90), 30)] for index in range(3)]
    frames = torch.stack([drawn(SIZE, each, seed) for seed, each in enumerate(faces)])
    network = load_face_network(random_gfpgan())
    singly = enhanced(frames, Known(*faces), FaceRestorer(network, CPU))

    batches: list[int] = []
    network.register_forward_pre_hook(lambda _module, given: batches.append(len(given[0])))
    monkeypatch.setattr(FaceRestorer, "batch_size", lambda _self: 4)
    together = enhanced(frames, Known(*faces), FaceRestorer(network, CPU))

    assert batches == [4, 2]
    for one, other in zip(singly, together, strict=True):
        assert psnr(one.tensor, other.tensor) > 70
    assert not same(singly, plain(frames))


def test_a_repeated_frame_is_restored_once() -> None:
    """Frames that are one object stay one object, and cost one face."""
    first, second = device_frames(torch.stack([drawn(SIZE, [FACES["upright"]], seed) for seed in (0, 1)]))
    network = Changing(negative)
    detector = Known([FACES["upright"]])

    made = enhanced([first] * 5 + [second] * 3, detector, FaceRestorer(network, CPU))

    assert [len(list(run)) for _, run in itertools.groupby(made, key=id)] == [5, 3]
    assert sum(network.batches) == len(detector.sizes) == 2


@pytest.fixture(scope="module")
def gfpgan() -> Callable[[Tensor], Tensor]:
    """A narrow GFPGAN with random weights: like the real one it does not follow shifts of its input."""
    network = load_face_network(random_gfpgan())

    def restore(faces: Tensor) -> Tensor:
        made: Tensor = network(faces)
        return made

    return restore


def flicker(frames: list[DeviceFrame]) -> float:
    """How much pixels change from frame to frame: the mean square."""
    return float(torch.stack([frame.tensor.float() for frame in frames]).diff(dim=0).square().mean())


def test_a_still_scene_does_not_flicker(gfpgan: Callable[[Tensor], Tensor]) -> None:
    """Where a detector trembles over a still scene, the faces flicker a quarter as much as taken one by one."""
    random = np.random.default_rng(0)
    seen = [[FACES["upright"] + random.normal(0, 1.0, (5, 2))] for _ in range(9)]
    frame = drawn(SIZE, [FACES["upright"]])

    steady = enhanced(frame.expand(9, -1, -1, -1), Known(*seen), restorer(gfpgan))

    alone = [enhanced(frame[None], Known(each), restorer(gfpgan))[0] for each in seen]
    assert flicker(plain(frame.expand(9, -1, -1, -1))) == 0
    assert 0 < flicker(steady) < 0.25 * flicker(alone)


def test_a_short_gap_in_detection_is_still_restored() -> None:
    """A frame in which the detector sees nothing looks like its neighbors."""
    frame = drawn(SIZE, [FACES["upright"]])
    seen: list[list[Landmarks]] = [[FACES["upright"]] for _ in range(10)]
    seen[5] = []
    made = enhanced(frame.expand(10, -1, -1, -1), Known(*seen), restorer(negative))
    assert psnr(made[5].tensor, made[4].tensor) > 70
    assert psnr(made[5].tensor, plain(frame[None])[0].tensor) < 30


def test_tracks_end_at_a_cut() -> None:
    """The last face of a scene and the first of the next are each as they would be alone."""
    images = [drawn(SIZE, [FACES["upright"]]), 1 - drawn(SIZE, [FACES["tilted"]], seed=7).flip(2)]
    seen = [[FACES["upright"]]] * 4 + [[FACES["tilted"]]] * 4
    frames = torch.stack([images[0]] * 4 + [images[1]] * 4)

    made = enhanced(frames, Known(*seen), restorer(negative))

    for index, name in ((3, "upright"), (4, "tilted")):
        [alone] = enhanced(frames[index][None], Known([FACES[name]]), restorer(negative))
        assert psnr(made[index].tensor, alone.tensor) > 80


def test_a_face_that_leaves_the_frame_ends_its_track() -> None:
    """While a face walks out of the frame nothing fails, and afterwards the frames are the plain ones."""
    places = [landmarks_of((200 + 12 * index, 90), 50) for index in range(12)]
    seen = [[face] if face[2, 0] < 250 else [] for face in places]
    frames = torch.stack([drawn(SIZE, [face]) for face in places])

    made = enhanced(frames, Known(*seen), restorer(negative))

    is_plain = [torch.equal(a.tensor, b.tensor) for a, b in zip(made, plain(frames), strict=True)]
    assert is_plain == [not each for each in seen]


def test_only_a_few_frames_are_held() -> None:
    """However long the video, only a few source frames are waiting at any time."""
    face = drawn(SIZE, [FACES["upright"]])
    taken = given = 0
    most = 0

    def source() -> Iterator[Frame]:
        nonlocal taken
        for _ in range(20):
            taken += 1
            yield DeviceFrame(face, Colors())

    models = FaceModels(Known([FACES["upright"]]), restorer())
    for _ in enhance_faces(source(), doubled, models, colors=Colors(), check=lambda: None):
        given += 1
        most = max(most, taken - given)
    assert given == 20
    assert most <= 12


def test_a_cancelled_job_stops_and_closes_its_source() -> None:
    """What ``check`` raises ends the work, and the source is closed."""
    closed = []

    def source() -> Iterator[Frame]:
        try:
            while True:
                yield DeviceFrame(drawn(SIZE, [FACES["upright"]]), Colors())
        finally:
            closed.append(True)

    checks = itertools.count()

    def check() -> None:
        if next(checks) == 8:
            raise Cancelled("The job was cancelled.")

    models = FaceModels(Known([FACES["upright"]]), restorer())
    with pytest.raises(Cancelled):
        list(enhance_faces(source(), doubled, models, colors=Colors(), check=check))
    assert closed == [True]
