"""GFPGAN: every weight in its place, the reference network's own frames, in any batch, and no luck needed."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack.errors import ModelUnavailable, OutOfMemory
from framepack.models.faces import restorer as restorer_module
from framepack.models.faces.restorer import FaceRestorer, load_face_network
from framepack.models.fast_path import fastest
from framepack.models.memory.device import Device
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.checkpoints import parse_checkpoint, read_published
from tests.support.at_hand import at_hand
from tests.support.faces import CPU, Changing, drawn, landmarks_of, random_gfpgan
from tests.support.interpolation import noise, psnr


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights of a narrow network."""
    return random_gfpgan()


def reference(state: dict[str, Tensor], faces: Tensor, *, narrow: float, styles: int) -> Tensor:
    """What the architecture's own module makes of faces in 0..1, as GFPGAN's authors use it."""
    from spandrel.architectures.GFPGAN import GFPGAN

    network = GFPGAN(narrow=narrow, num_style_feat=styles)
    network.load_state_dict(state)
    with torch.no_grad():
        made: Tensor = network.eval()((faces - 0.5) / 0.5, return_rgb=False, randomize_noise=False)[0]
    return (made.clamp(-1, 1) + 1) / 2


@pytest.mark.parametrize("seed", [0, 1])
def test_a_narrow_network_matches_the_reference(seed: int) -> None:
    """With seeded random weights it makes the reference module's frames, which differ from what goes in."""
    state, faces = random_gfpgan(seed), noise(2, 512, 512, seed)

    made = FaceRestorer(load_face_network(state), CPU)(faces)

    expected = reference(state, faces, narrow=1 / 32, styles=16)
    assert made.shape == faces.shape
    assert psnr(made, expected) > 100
    assert psnr(made, faces) < 20
    assert float(made.std()) > 0.02


@pytest.mark.slow
def test_the_full_network_matches_the_reference() -> None:
    """The same holds at the published width, where the file's size is that of the published one."""
    state, faces = random_gfpgan(narrow=1, styles=512), noise(1, 512, 512)

    made = FaceRestorer(load_face_network(state), CPU)(faces)

    assert psnr(made, reference(state, faces, narrow=1, styles=512)) > 90
    row = CATALOG.find("GFPGANv1.4")
    assert row is not None
    size = sum(value.nbytes for value in state.values())
    assert 0 < row.weights[0].size_bytes - size < 100_000  # names and shapes


@pytest.mark.weights
def test_the_published_network_matches_the_reference() -> None:
    """The published file loads with every weight in its place, and makes the reference module's frames."""
    row = CATALOG.find("GFPGANv1.4")
    assert row is not None
    path = at_hand(row.weights[0].filename)
    state = parse_checkpoint(read_published(path, row.weights[0]), path.name)
    faces = drawn((512, 512), [landmarks_of((256, 268), 290)])[None]

    made = FaceRestorer(load_face_network(state), CPU)(faces)

    assert psnr(made, reference(state, faces, narrow=1, styles=512)) > 60
    assert 10 < psnr(made, faces) < 40


def test_a_batch_equals_its_faces_restored_alone(state: dict[str, Tensor]) -> None:
    """A batch makes the frames that its faces make alone."""
    restorer, faces = FaceRestorer(load_face_network(state), CPU), noise(3, 512, 512)
    alone = torch.cat([restorer(face[None]) for face in faces])
    assert psnr(restorer(faces), alone) > 100


def test_restoration_is_deterministic(state: dict[str, Tensor]) -> None:
    """The same face is restored the same way every time: its noise is the stored one."""
    restorer, face = FaceRestorer(load_face_network(state), CPU), noise(1, 512, 512)
    assert torch.equal(restorer(face), restorer(face))
    changed = {key: value + 1 if "noises" in key else value for key, value in state.items()}
    assert psnr(FaceRestorer(load_face_network(changed), CPU)(face), restorer(face)) < 50


def test_the_network_is_ready_for_inference(state: dict[str, Tensor]) -> None:
    """Every weight is there, in single precision, and wants no gradient."""
    network = load_face_network({key: value.half() for key, value in state.items()})
    assert all(value.dtype == torch.float32 and not value.is_meta for value in network.state_dict().values())
    assert not any(value.requires_grad for value in network.parameters())
    assert not network.training


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "other", "first"])
def test_weights_of_other_networks_are_rejected(state: dict[str, Tensor], damage: str) -> None:
    """A missing, surplus or misshapen weight and another network's weights are refused in one sentence."""
    broken = {
        "missing": {key: value for key, value in state.items() if key != "final_conv.bias"},
        "extra": {**state, "more.weight": torch.zeros(1)},
        "shape": {**state, "final_conv.bias": torch.zeros(3)},
        "other": {"body.0.weight": torch.zeros(8, 3, 3, 3)},
        "first": {**state, "stylegan_decoder.constant_input.weight": torch.zeros(())},
    }[damage]
    with pytest.raises(ModelUnavailable, match="do not fit the face restoration network"):
        load_face_network(broken)


class _Small:
    """A network's memory in which so many faces fit at once."""

    def __init__(self, most: int) -> None:
        self.tried: list[int] = []
        self._most = most

    def __call__(self, faces: Tensor) -> Tensor:
        self.tried.append(len(faces))
        if len(faces) > self._most:
            raise torch.OutOfMemoryError("out of memory")
        return -faces


def test_out_of_memory_restores_faces_one_by_one() -> None:
    """When memory runs out, the faces are restored singly, and are right."""
    small, faces = _Small(most=1), noise(3, 512, 512)
    assert torch.allclose(FaceRestorer(Changing(small), CPU)(faces), 1 - faces, atol=1e-6)
    assert small.tried == [3, 1, 1, 1]


def test_out_of_memory_for_one_face_raises() -> None:
    """When not even one face fits, the sentence says what to do."""
    with pytest.raises(OutOfMemory, match="set enhance_face to false"):
        FaceRestorer(Changing(_Small(most=0)), CPU)(noise(2, 512, 512))


@pytest.mark.parametrize(
    ("sharp", "low_milliseconds", "log"),
    [
        (0.0, 5.0, "the fast path (torch.bfloat16) takes 5.00 ms where the plain one takes 9.00"),
        (0.0, 9.5, "the fast path is not used: it takes 9.50 ms"),
        (40.0, 5.0, "the fast path is not used: its results differ"),
    ],
    ids=["equal and faster", "equal and slower", "different"],
)
def test_on_a_gpu_bfloat16_is_used_where_it_is_faster_and_keeps_48_decibels(
    sharp: float, low_milliseconds: float, log: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """These very weights decide, when they are loaded, and one line in the log tells the choice."""
    caplog.set_level("INFO")
    times = iter((9.0, low_milliseconds))
    monkeypatch.setattr(Device, "is_cuda", True)
    monkeypatch.setattr(restorer_module, "fastest", partial(fastest, milliseconds=lambda _: next(times)))
    network = _Convolution(sharp)
    faces = noise(1, 512, 512)

    made = FaceRestorer(network, CPU)(faces)

    assert log in caplog.messages[-1]
    is_low = "takes 5.00 ms" in log
    assert network.dtypes[-1] == (torch.bfloat16 if is_low else torch.float32)
    assert made.dtype == torch.float32
    if not sharp:
        assert psnr(made, faces) > (48 if is_low else 100)


class _Convolution(nn.Module):
    """In GFPGAN's place: a convolution that keeps a face, or sharpens it so that errors grow; notes its precision."""

    def __init__(self, sharp: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 3, 3, 3), requires_grad=False)
        for channel in range(3):
            self.weight[channel, channel, 1, 1] = 1 + sharp
            self.weight[channel, channel, 0, 0] = -sharp
        self.dtypes: list[torch.dtype] = []

    def forward(self, faces: Tensor) -> Tensor:
        """Return what GFPGAN returns."""
        made = functional.conv2d(faces, self.weight, padding=1)
        self.dtypes.append(made.dtype)
        return made
