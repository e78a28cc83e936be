"""The device: which one, what is free, and what running out looks like."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from framepack.errors import DeviceLost, ModelUnavailable, Unavailable
from framepack.models.memory.device import (
    Device,
    cpu_has_bfloat16,
    free_host_bytes,
    is_device_lost,
    is_out_of_memory,
    is_perhaps_out_of_memory,
)

MB = 1_000_000
STATISTICS = "anon 1\ninactive_file {0}\ntotal_inactive_file {0}\n"


def test_the_cpu_is_always_available() -> None:
    """Asking for the CPU gives it, with its memory."""
    device = Device.find("cpu")
    assert device.torch_device == torch.device("cpu")
    assert not device.is_cuda
    assert 0 < device.free_bytes() <= psutil.virtual_memory().total


def test_a_gpu_that_does_not_exist_is_rejected() -> None:
    """A worker set to a GPU it does not have says so."""
    with pytest.raises(Unavailable, match="cuda:63"):
        Device.find("cuda:63")


def test_auto_selects_a_gpu_if_there_is_one() -> None:
    """Without any setting the GPU is used where there is one."""
    assert Device.find("auto").is_cuda == torch.cuda.is_available()


def test_free_bytes_are_within_the_limit() -> None:
    """No more is offered than the settings allow."""
    assert Device.find("cpu", limit_mb=64).free_bytes() == 64 * MB


def test_cgroup_v2_limits_host_memory(tmp_path: Path) -> None:
    """What the container may take counts; cached files can be dropped and do not."""
    (tmp_path / "memory.max").write_text(f"{100 * MB}\n")
    (tmp_path / "memory.current").write_text(f"{70 * MB}\n")
    (tmp_path / "memory.stat").write_text(STATISTICS.format(20 * MB))
    assert free_host_bytes(tmp_path) == 50 * MB


def test_cgroup_v1_limits_host_memory(tmp_path: Path) -> None:
    """The older interface is understood as well."""
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(f"{100 * MB}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{101 * MB}\n")
    (folder / "memory.stat").write_text(STATISTICS.format(0))
    assert free_host_bytes(tmp_path) == 0


@pytest.mark.parametrize("limit", ["max\n", None])
def test_without_cgroup_limit_host_memory_is_the_machines(tmp_path: Path, limit: str | None) -> None:
    """A container without a limit, or none at all, leaves what the machine has."""
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    assert free_host_bytes(tmp_path) > 100 * MB


def test_an_allocation_failure_is_recognized_as_out_of_memory() -> None:
    """What torch really raises on the CPU counts as out of memory."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_all_out_of_memory_errors_are_recognized(error: Exception) -> None:
    """All ways in which libraries say it are understood."""
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("memory")])
def test_other_errors_are_not_out_of_memory(error: Exception) -> None:
    """A defect is never mistaken for a shortage."""
    assert not is_out_of_memory(error)


UNCLEAR = (
    "GET was unable to find an engine to execute this computation",
    "FIND was unable to find an engine to execute this computation",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
)
LOST = (
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: device-side assert triggered",
    "CUDA error: unspecified launch failure",
    "CUDA error: misaligned address",
    "CUDA error: an illegal instruction was encountered",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: the launch timed out and was terminated",
    "CUDA error: unknown error",
    "CUDA error: no CUDA-capable device is detected",
    "Triton Error [CUDA]: an illegal memory access was encountered",
)


@pytest.mark.parametrize("text", UNCLEAR)
def test_unclear_errors_of_cudnn_and_cublas_are_perhaps_out_of_memory(text: str) -> None:
    """They are neither certainly a shortage nor the loss of a GPU that still answers."""
    error = RuntimeError(text)
    assert is_perhaps_out_of_memory(error)
    assert not is_out_of_memory(error)
    assert not is_device_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasGemmEx(handle)`"),
        ValueError(UNCLEAR[0]),
        *map(RuntimeError, LOST),
    ],
)
def test_clear_errors_are_not_perhaps_out_of_memory(error: Exception) -> None:
    """What has one meaning is not taken for another."""
    assert not is_perhaps_out_of_memory(error)


@pytest.mark.parametrize("text", LOST)
@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_an_error_after_which_the_gpu_is_useless_is_recognized(text: str, kind: type[Exception]) -> None:
    """Also as the cause of another error, or while another one was handled; it is not a shortage of memory."""
    error = kind(text)
    assert is_device_lost(error)
    assert not is_out_of_memory(error)

    caused = ModelUnavailable("The factory failed.")
    caused.__cause__ = error
    assert is_device_lost(caused)
    met = KeyError("a")
    met.__context__ = caused
    assert is_device_lost(met)
    assert is_device_lost(DeviceLost())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: invalid configuration argument"),
        RuntimeError("CUDA error: invalid argument"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("misaligned address"),
        ValueError("CUDA error: misaligned address"),
        ModelUnavailable("CUDA"),
    ],
)
def test_other_errors_do_not_mean_that_the_gpu_is_lost(error: Exception) -> None:
    """After these the next job runs."""
    assert not is_device_lost(error)


def test_an_error_in_a_circle_of_causes_is_examined_once() -> None:
    """Nobody waits forever for its end."""
    first, second = KeyError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert not is_device_lost(first)


@pytest.mark.parametrize(
    ("asked", "lost"),
    [(None, False), (RuntimeError(LOST[0]), True), (RuntimeError("CUDA error: invalid argument"), False)],
)
def test_a_gpu_is_asked_after_an_unclear_error_whether_it_still_works(
    monkeypatch: pytest.MonkeyPatch, asked: Exception | None, *, lost: bool
) -> None:
    """An illegal access may first be reported by cuDNN, in words that do not name it. Only a GPU in use is asked."""
    places = []

    def synchronize(place: int) -> None:
        places.append(place)
        if asked is not None:
            raise asked

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda place: 1000 * (place == 1))
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)

    assert is_device_lost(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")) is lost
    assert places == [1]
    assert not is_device_lost(RuntimeError("shape mismatch"))
    assert places == [1]


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f avx2", False)]
)
def test_bfloat16_is_detected_by_cpu_flags(tmp_path: Path, flags: str, *, expected: bool) -> None:
    """Only instructions for it make bfloat16 worth while."""
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: x\nflags\t\t: {flags}\nbugs\t\t: avx512_bf16\n")
    assert cpu_has_bfloat16(path) is expected


def test_without_cpu_flags_there_is_no_bfloat16(tmp_path: Path) -> None:
    """Systems without such a file get single precision."""
    assert not cpu_has_bfloat16(tmp_path / "missing")
