"""The check of the device on a real GPU."""

from __future__ import annotations

import pytest
import torch

from framepack.models.device_check import convolution_error, examine_device
from framepack.models.driver import minimum_driver, read_driver

pytestmark = pytest.mark.gpu


def test_a_real_gpu_is_described_and_computes_correctly() -> None:
    """Driver, torch and the table of drivers agree on it."""
    report = examine_device("auto")

    assert report.problem is None
    assert report.device == "cuda:0"
    assert report.name == torch.cuda.get_device_name(0)
    driver = read_driver()
    assert driver.major is not None
    assert driver.major >= (minimum_driver(str(torch.version.cuda)) or 0)
    assert report.driver == driver.version


def test_half_precision_on_a_real_gpu_is_close_and_not_the_cpus() -> None:
    """Within the tolerance, and not by having been computed elsewhere."""
    assert 0 < convolution_error(torch.device("cuda:0"), torch.float16) < 0.02


def test_a_gpu_index_that_does_not_exist_is_reported() -> None:
    """The sentence says how many there are."""
    count = torch.cuda.device_count()

    assert f"there are {count}" in str(examine_device(f"cuda:{count}").problem)
