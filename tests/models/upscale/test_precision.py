"""The precision on a CPU: bfloat16 only where this CPU is faster with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from framepack.models.memory.device import Device
from framepack.models.upscale import precision
from framepack.models.upscale.precision import bfloat16_is_faster, prepare
from tests.support.upscaling import rrdb

INSTRUCTIONS = Device(torch.device("cpu"), has_bfloat16=True)


@pytest.fixture(autouse=True)
def _measured_anew() -> Iterator[None]:
    """The answer of a process is kept; tests want their own."""
    bfloat16_is_faster.cache_clear()
    yield
    bfloat16_is_faster.cache_clear()


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [(0.5, {torch.bfloat16, torch.float32}), (0.95, {torch.float32}), (2, {torch.float32})],
)
def test_bfloat16_is_used_where_it_takes_less_time(
    milliseconds: float, expected: set[torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against 1 ms in single precision; a difference within the noise does not count."""
    seconds = {torch.float32: 0.001, torch.bfloat16: milliseconds / 1000}
    monkeypatch.setattr(precision, "_convolution_seconds", seconds.get)
    network = rrdb()

    prepare(network, INSTRUCTIONS)

    assert {value.dtype for value in network.model.parameters()} == expected


def test_the_time_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both precisions, for all models of the process."""
    measured: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        measured.append(dtype)
        return 0.001

    monkeypatch.setattr(precision, "_convolution_seconds", seconds)
    for _ in range(3):
        prepare(rrdb(), INSTRUCTIONS)
    assert measured == [torch.float32, torch.bfloat16]


def test_a_cpu_without_the_instructions_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would only emulate them."""
    monkeypatch.setattr(precision, "_convolution_seconds", lambda _dtype: 1 / 0)
    prepare(rrdb(), Device(torch.device("cpu")))


def test_the_measurement_takes_seconds_of_this_cpu() -> None:
    """Some, and of both."""
    assert 0 < precision._convolution_seconds(torch.float32) < 10
    assert 0 < precision._convolution_seconds(torch.bfloat16) < 10
