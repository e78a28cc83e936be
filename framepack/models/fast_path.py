"""Fast ways to compute something, each of which proves itself on the device it runs on before it is used.

A kernel that was written without that device may compute something else there, fail to compile, or be slower than
PyTorch's own. Then what it would have replaced is used, and one line in the log says why.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from framepack.models.memory.device import is_device_lost, is_out_of_memory, release_memory

log = logging.getLogger("framepack.models")

MIN_DECIBELS: Final = 60.0
"""PSNR from which on two ways compute the same, in the same precision."""

_REPETITIONS: Final = 3
_BUDGET_SECONDS: Final = 8.0  # for all candidates; the one that is being tried is finished
_LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Path:
    """One way to compute something.

    Attributes:
        name: What tells it from the others, for the log.
        outputs: Computes the results for small inputs, range 0..1, which are compared.
        work: Does a realistic piece of work, which is timed; returns its result, on the GPU.
    """

    name: str
    outputs: Callable[[], Sequence[Tensor]]
    work: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class _Trial:
    """What came of a candidate: its PSNR and time, or why it cannot be used."""

    path: Path
    decibels: float = math.nan
    milliseconds: float = math.inf
    problem: str | None = None


@torch.inference_mode()
def fastest(
    what: str,
    plain: Path,
    candidates: Sequence[Path],
    *,
    min_decibels: float = MIN_DECIBELS,
    milliseconds: Callable[[Callable[[], Tensor]], float] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Path | None:
    """Choose the fastest way to compute something, and log the choice.

    Args:
        what: What is computed, for the log.
        plain: The way that is always right.
        candidates: Other ways, the most promising first. After 8 seconds, compiling included, no other is tried.
        min_decibels: PSNR that a candidate needs: less for one in lower precision.
        milliseconds: Measures the time of a call; None: by the GPU's own clock.
        clock: Returns seconds.

    Returns:
        The fastest candidate, if it computes the same as the plain way and is faster; else None.

    Raises:
        RuntimeError: A candidate has made the GPU unusable for this process.
    """
    measure = gpu_milliseconds if milliseconds is None else milliseconds
    started = clock()
    trials: list[_Trial] = []
    try:
        expected = plain.outputs()
        limit = measure(plain.work)
        for path in candidates:
            if trials and clock() - started > _BUDGET_SECONDS:
                break
            trials.append(_try(path, expected, min_decibels, measure))
    except Exception as error:
        if is_device_lost(error):
            raise
        trials, limit = [_Trial(plain, problem=_reason(error))], 0.0
    expected = ()
    if any(trial.problem is not None for trial in trials):
        release_memory()
    best = min(trials, key=lambda trial: trial.milliseconds)
    tried = f"{len(trials)} tried in {clock() - started:.1f} s"
    if best.milliseconds < limit:
        log.info(
            "%s: the fast path (%s) takes %.2f ms where the plain one takes %.2f, at %.1f dB (%s)",
            what, best.path.name, best.milliseconds, limit, best.decibels, tried,
        )  # fmt: skip
        return best.path
    reason = best.problem or f"it takes {best.milliseconds:.2f} ms where the plain one takes {limit:.2f}"
    log.warning("%s: the fast path is not used: %s (%s)", what, reason, tried)
    return None


def _try(
    path: Path, expected: Sequence[Tensor], min_decibels: float, measure: Callable[[Callable[[], Tensor]], float]
) -> _Trial:
    """Compare a candidate with the expected results, and time it.

    Raises:
        RuntimeError: It has made the GPU unusable, or memory ran out.
    """
    try:
        outputs = path.outputs()
        decibels = min(_psnr(output, right) for output, right in zip(outputs, expected, strict=True))
        if not decibels >= min_decibels:  # NaN is none of both
            return _Trial(path, problem=f"its results differ ({decibels:.1f} dB)")
        return _Trial(path, decibels, measure(path.work))
    except Exception as error:
        if is_out_of_memory(error) or is_device_lost(error):
            raise
        return _Trial(path, problem=_reason(error))


def _reason(error: Exception) -> str:
    if is_out_of_memory(error):
        return "memory ran out while it was tried"
    first_line = str(error).strip().partition("\n")[0][:_LONGEST_REASON]
    return f"trying it failed with {type(error).__name__}: {first_line}"


def _psnr(output: Tensor, right: Tensor) -> float:
    """PSNR in dB for a range of 0..1; NaN if a value is NaN, infinite if they are equal."""
    error = (output.double() - right.double()).square().mean()
    return float(-10 * torch.log10(error))


def gpu_milliseconds(work: Callable[[], Tensor]) -> float:
    """Return the median time of a call on the GPU of its result, after one that warms up."""
    device = work().device
    times: list[float] = []
    with torch.cuda.device(device):
        for _ in range(_REPETITIONS):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            work()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
    return statistics.median(times)
