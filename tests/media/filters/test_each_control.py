"""Every filter control reaches the frames, on the host and on the device, in the documented order."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from framepack.api.filter_settings import CONTROLS, Control
from framepack.models.frames.device_frame import DeviceFrame
from tests.support.filters import BT709, codes, each_control, named, on_device, one, real_frames

WHERE = {
    "host": "Grade.of and the formulas of framepack/media/filters/grade.py, and luma.py and chroma.py beside it",
    "device": "Grade.of in framepack/media/filters/grade.py, and framepack/models/frames/device_filter.py",
}
"""The files that a control which does nothing is missing from."""
PAIRS = [
    (first, second)
    for first, second in combinations(sorted(CONTROLS, key=lambda control: control.traits.stage), 2)
    if first.traits.stage < second.traits.stage
]


@pytest.mark.parametrize("place", WHERE)
@pytest.mark.parametrize("look", each_control(1), ids=named)
def test_a_control_at_its_end_changes_the_frame(look: dict[str, float], place: str) -> None:
    """Some luma or chroma sample of a real frame differs by more than two levels from the one without controls."""
    frame = real_frames()[0] if place == "host" else on_device(real_frames()[0])

    before, after = codes(one(frame)), codes(one(frame, **look))

    changes = [int(np.abs(new - old).max()) for new, old in zip(after, before, strict=True)]
    assert max(changes) > 2, f"{named(look)} changes nothing on the {place}: see {WHERE[place]}"


@pytest.fixture(scope="module")
def part() -> DeviceFrame:
    """A part of a real frame in single precision, so that nothing is rounded between two filters."""
    frame = on_device(real_frames()[0], BT709, torch.float32)
    return DeviceFrame(frame.tensor[:, :128, 128:320].contiguous(), BT709)


@pytest.mark.parametrize(
    ("first", "second"), PAIRS, ids=lambda control: control.name if isinstance(control, Control) else None
)
def test_controls_are_applied_in_the_order_of_their_stages(
    part: DeviceFrame, first: Control, second: Control
) -> None:
    """Two controls at once do what one after the other does, and the other order comes no closer to it."""
    one_way, other_way = ({each.name: max(each.toward_ends(0.5))} for each in (first, second))

    together = one(part, **one_way, **other_way)
    listed = one(one(part, **one_way), **other_way)
    reversed_ = one(one(part, **other_way), **one_way)

    assert difference(together, listed) < difference(together, reversed_) + 1, (
        f"{second.name} is applied before {first.name}: correct `stage` in framepack/api/filter_settings.py"
    )


def difference(first: object, second: object) -> float:
    """Root of the mean squared difference of two frames in device memory, in 8-bit levels."""
    assert isinstance(first, DeviceFrame)
    assert isinstance(second, DeviceFrame)
    return 255 * float((first.tensor - second.tensor).square().mean().sqrt())
