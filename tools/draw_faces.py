"""Draws ``docs/faces.png``: how faces are found, turned upright, and pasted through their masks.

The faces are drawings. Instead of GFPGAN, the sharp drawing is the restored face, so no weights are needed. Run
``python -m tools.draw_faces`` after changing the alignment or the mask, and look at the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

from framepack.models.faces.alignment import FACE_SIZE, AlignedCrop
from framepack.models.faces.blending import face_mask, paste_faces
from tests.support.faces import drawn, landmarks_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

IMAGE: Final = Path(__file__).parent.parent / "docs" / "faces.png"
SIZE: Final = (480, 320)
FACES: Final = (landmarks_of((150, 150), 140, 22), landmarks_of((375, 205), 150, -14))
GAP: Final = 8
LINE: Final = 18
BLUR: Final = 8
TITLES: Final = (
    "found: landmarks and squares",
    "upright: what the network sees",
    "mask: what is pasted",
    "result",
)


def draw() -> Image:
    """Draw the image, two rows of two cells."""
    from PIL import Image, ImageDraw

    sharp = drawn(SIZE, FACES)
    soft = _blurred(sharp)
    placements = [place for face in FACES if (place := AlignedCrop.from_landmarks(face, *SIZE)) is not None]
    changes = [(place, place.extract(sharp) - place.extract(soft), 1.0) for place in placements]
    cells = [_found(soft, placements), _upright(soft, placements), _masked(placements), paste_faces(soft, changes)]

    width, height = SIZE
    sheet = Image.new("RGB", (2 * width + 3 * GAP, 2 * (height + LINE) + 3 * GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (title, cell) in enumerate(zip(TITLES, cells, strict=True)):
        left = GAP + index % 2 * (width + GAP)
        top = GAP + index // 2 * (height + LINE + GAP)
        pen.text((left, top), title, fill="black")
        sheet.paste(_image(cell), (left, top + LINE))
    return sheet


def _blurred(image: Tensor) -> Tensor:
    small = functional.interpolate(image[None], scale_factor=1 / BLUR, mode="bicubic", antialias=True)
    return functional.interpolate(small, image.shape[1:], mode="bicubic").clamp(0, 1)[0]


def _found(image: Tensor, placements: list[AlignedCrop]) -> Tensor:
    """The image with the landmarks and the square around each upright face."""
    from PIL import ImageDraw

    canvas = _image(image)
    pen = ImageDraw.Draw(canvas)
    for face, crop in zip(FACES, placements, strict=True):
        corners = torch.tensor([(0.0, 0.0), (FACE_SIZE, 0.0), (FACE_SIZE, FACE_SIZE), (0.0, FACE_SIZE), (0.0, 0.0)])
        x, y = crop.transform.inverse()(*corners.T)
        pen.line([*zip(x.tolist(), y.tolist(), strict=True)], fill="white", width=2)
        for point in face:
            _dot(pen, *point)
    return _tensor(canvas)


def _dot(pen: ImageDraw, x: float, y: float) -> None:
    pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(0, 255, 0))


def _upright(image: Tensor, placements: list[AlignedCrop]) -> Tensor:
    """The upright faces, side by side on white."""
    cell = torch.ones(3, SIZE[1], SIZE[0])
    side = SIZE[0] // 2 - GAP // 2
    for index, crop in enumerate(placements):
        seen = functional.interpolate(crop.extract(image)[None], (side, side), mode="bilinear", antialias=True)
        top, left = (SIZE[1] - side) // 2, index * (side + GAP)
        cell[:, top : top + side, left : left + side] = seen[0]
    return cell


def _masked(placements: list[AlignedCrop]) -> Tensor:
    """The masks of the faces as shades of gray: white shows only the restored face."""
    x, y = torch.arange(SIZE[0]).float(), torch.arange(SIZE[1]).float()
    shares = [face_mask(*crop.transform(x[None, :], y[:, None])) for crop in placements]
    return torch.stack(shares).amax(0).expand(3, -1, -1)


def _image(image: Tensor) -> Image:
    from PIL import Image

    return Image.fromarray((image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


def _tensor(image: Image) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


if __name__ == "__main__":
    draw().save(IMAGE, optimize=True)
    print(IMAGE)
