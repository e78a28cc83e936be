"""The memory estimated from a small frame, beside what a process takes for a large one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from framepack.models.memory.device import Device
from framepack.models.upscale.memory import MemoryEstimate
from framepack.models.upscale.upscaler import Upscaler
from tests.support.upscaling import rrdb

# Memory does not depend on the number of blocks: one is enough.
MEASURE = """if True:
    import json, sys
    import torch
    from framepack.models.memory.device import Device, release_memory
    from framepack.models.upscale import precision
    from framepack.models.upscale.upscaler import Upscaler
    from framepack.models.weights.networks import load_network
    from tests.support.networks import tiny_compact, tiny_rrdb
    make, shape, mixed, width, height = json.loads(sys.argv[1])
    precision.bfloat16_is_faster = lambda: True
    network = load_network((tiny_compact if make == "compact" else tiny_rrdb)(feat=64, **shape))
    upscaler = Upscaler(network, Device(torch.device("cpu"), has_bfloat16=mixed))
    frame = torch.rand(1, 3, height, width)
    release_memory()

    def status(name):
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith(name))

    before = status("VmRSS")
    upscaler.run(frame, 0, lambda: None)
    print(upscaler.memory.bytes_of(width * height, width), status("VmHWM") - before)
"""


@pytest.mark.parametrize(
    ("make", "shape", "mixed", "size"),
    [
        ("rrdb", {"blocks": 1}, False, (320, 180)),
        ("rrdb", {"blocks": 1}, True, (320, 180)),
        ("rrdb", {"blocks": 1, "scale": 2}, False, (480, 270)),
        ("compact", {"convs": 3}, False, (480, 270)),
    ],
    ids=["x4plus", "x4plus-mixed", "x2plus", "compact"],
)
def test_a_large_frame_takes_about_the_estimated_memory(
    make: str, shape: dict[str, int], size: tuple[int, int], *, mixed: bool
) -> None:
    """At most 1.3 times as much, and at least 0.4 times; computed whole, x4plus would take 3 times as much."""
    given = json.dumps([make, shape, mixed, *size])
    done = subprocess.run([sys.executable, "-c", MEASURE, given], capture_output=True, text=True, check=True)
    estimated, taken = map(int, done.stdout.split())

    assert 1 / 1.3 < estimated / taken < 2.5


def test_the_estimate_of_strips_ends_with_the_first() -> None:
    """A frame of one strip takes in proportion to its pixels; each further one only what its features take."""
    estimate = Upscaler(rrdb(feat=64), Device(torch.device("cpu"))).memory
    strip = 16 * 256  # 64 rows of 1024 pixels of the output

    one, two, three = (estimate.bytes_of(pixels, 256) for pixels in (strip // 2, strip, 12 * 256 * 30))
    assert two == pytest.approx(2 * one, rel=1e-3)
    assert three < 0.4 * 12 * 256 * 30 / strip * two


@pytest.mark.parametrize("width", [16, 256, 4096])
@pytest.mark.parametrize("pixels", [100, 5_000, 50_000, 5_000_000])
def test_pixels_that_fit_are_those_whose_estimate_fits(width: int, pixels: int) -> None:
    """The estimate and its inverse agree, below the size of a strip and above."""
    estimate = Upscaler(rrdb(), Device(torch.device("cpu"))).memory
    for each in (estimate, MemoryEstimate(1000)):
        needed = each.bytes_of(pixels, width)
        assert each.pixels_in(needed, width) in {pixels, pixels + 1}
        assert each.pixels_in(0, width) == 0
