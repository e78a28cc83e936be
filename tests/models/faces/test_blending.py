"""Pasting faces: exactly nothing where nothing changed, exactly the change where something did, and no border."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from framepack.models.faces.alignment import AlignedCrop
from framepack.models.faces.blending import face_mask, paste_faces
from tests.support.faces import drawn, landmarks_of
from tests.support.interpolation import psnr

SIZE = (480, 360)
FACES = {
    "upright": landmarks_of((240, 180), 90),
    "tilted": landmarks_of((250, 170), 110, 33),
    "upside down": landmarks_of((230, 190), 70, 180),
    "small": landmarks_of((300, 100), 24, -20),
    "large": landmarks_of((240, 180), 400, 12),
    "at the left": landmarks_of((12, 170), 120, 15),
    "in the corner": landmarks_of((470, 352), 150, -25),
}


def placed(name: str) -> AlignedCrop:
    """Where a face of ``FACES`` lies."""
    crop = AlignedCrop.from_landmarks(FACES[name], *SIZE)
    assert crop is not None
    return crop


def shown(crop: AlignedCrop) -> Tensor:
    """How much of the restored face is shown at every pixel of the frame."""
    x, y = torch.arange(SIZE[0]), torch.arange(SIZE[1])
    return face_mask(*crop.transform(x[None, :].float(), y[:, None].float()))


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_zero_change_leaves_the_frame_unchanged(name: str, dtype: torch.dtype) -> None:
    """The frame with an unchanged face in it is the frame."""
    frame = drawn(SIZE, [FACES[name]]).to(dtype)
    assert torch.equal(paste_faces(frame, [(placed(name), torch.zeros(3, 512, 512), 1.0)]), frame)


@pytest.mark.parametrize("name", FACES)
def test_a_change_is_pasted_at_the_position_of_the_face(name: str) -> None:
    """A face turned into its negative is the frame's negative inside the mask, and the frame outside of it."""
    frame, crop = drawn(SIZE, [FACES[name]]), placed(name)
    seen = crop.extract(frame)

    made = paste_faces(frame, [(crop, 1 - 2 * seen, 1.0)])

    share = shown(crop)
    assert psnr(made, share * (1 - frame) + (1 - share) * frame) > 45
    assert torch.equal(made[:, share == 0], frame[:, share == 0])
    assert (share == 1).any()


def test_detail_finer_than_the_crop_is_kept() -> None:
    """A face larger than 512 pixels keeps the single pixels that its restored self cannot show."""
    face = landmarks_of((800, 800), 800)
    crop = AlignedCrop.from_landmarks(face, 1600, 1600)
    assert crop is not None
    fine = 0.5 + 0.1 * (-1.0) ** (torch.arange(1600)[None, :] + torch.arange(1600)[:, None]).expand(3, -1, -1)

    made = paste_faces(fine, [(crop, torch.full((3, 512, 512), 0.2), 1.0)])

    middle = (slice(None), slice(700, 900), slice(700, 900))
    assert psnr(made[middle], fine[middle] + 0.2) > 80


def test_pasted_faces_have_no_visible_border() -> None:
    """Across the edge of the strongest change, neighboring pixels differ by little more than the softest ramp."""
    crop = placed("tilted")
    made = paste_faces(torch.zeros(3, SIZE[1], SIZE[0]), [(crop, torch.ones(3, 512, 512), 1.0)])
    steps = torch.cat([made.diff(dim=1).flatten(), made.diff(dim=2).flatten()]).abs()
    feather = 0.25 * 165 / crop.transform.scale  # pixels from all to nothing
    assert float(made.max()) == 1
    assert 1 / feather < float(steps.max()) < 2 / feather


def test_strength_scales_the_change() -> None:
    """Half a strength is half the change."""
    frame, change = torch.full((3, SIZE[1], SIZE[0]), 0.5), torch.full((3, 512, 512), 0.4)
    made = paste_faces(frame, [(placed("upright"), change, 0.5)])
    assert float(made.max()) == pytest.approx(0.7, abs=1e-4)


def test_changes_of_overlapping_faces_do_not_add_up() -> None:
    """Of two faces in one place, only the later one's change is seen."""
    frame, crop = torch.full((3, SIZE[1], SIZE[0]), 0.2), placed("upright")
    changes = [(crop, torch.full((3, 512, 512), value), 1.0) for value in (0.5, 0.3)]
    assert float(paste_faces(frame, changes)[:, 180, 240].mean()) == pytest.approx(0.5, abs=1e-4)


def test_the_mask_covers_the_face_and_is_zero_at_the_edge_of_the_crop() -> None:
    """Landmarks, chin, brow and cheeks are shown wholly, the square's edges and corners not at all."""
    landmarks = [(193.0, 240.0), (319, 240), (257, 314), (201, 371), (313, 371)]
    points = torch.tensor([*landmarks, (256, 455), (256, 110), (110, 280), (400, 280)])
    edges = torch.tensor([(0.0, 256.0), (511, 256), (256, 0), (256, 511), (0, 0), (511, 511), (90, 90)])
    assert torch.equal(face_mask(*points.T), torch.ones(9))
    assert torch.equal(face_mask(*edges.T), torch.zeros(7))
