"""The device that networks run on: which one it is, its free memory, and what its errors mean.

An error may mean that memory ran out, that it perhaps ran out, or that this process can no longer use the GPU.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

from framepack.errors import DeviceLost, Unavailable
from framepack.processors import limit_threads
from framepack.units import MB

if TYPE_CHECKING:
    import torch

_CPU_INFO: Final = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
_CGROUPS: Final = Path("/sys/fs/cgroup")
# Memory limit, usage and statistics of the container, for cgroup v2 and v1. The usage includes cached files that the
# kernel can drop; the last column names their size in the statistics.
_CGROUP_FILES: Final = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
# Allocators other than PyTorch's own raise plain RuntimeErrors, recognizable only by their messages.
_OOM_MESSAGES: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
)
# What cuDNN and cuBLAS say when their workspace or handle does not fit, but also for other reasons. PyTorch tries all
# plans of a convolution, drops the OutOfMemoryError of each, and raises the first sentence.
_PERHAPS_OOM_MESSAGES: Final = (
    "unable to find an engine to execute this computation",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
)
# After these errors every further call of this process on the GPU fails; only a new process can use it again.
_LOST_MESSAGES: Final = (
    "an illegal memory access was encountered",
    "device-side assert triggered",
    "unspecified launch failure",
    "misaligned address",
    "an illegal instruction was encountered",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "hardware stack error",
    "the launch timed out and was terminated",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error",
    "Invalid access of peer GPU memory",
    "context is destroyed",
    "no CUDA-capable device is detected",
    "CUDA-capable device(s) is/are busy or unavailable",
    "CUDA error: unknown error",
)


MAX_CUDA_ELEMENTS: Final = 2**31 - 1
"""Of a tensor on a GPU. cuDNN's engines for larger ones are hardly tested; some access memory illegally, which costs
the process its GPU."""

_kept: WeakKeyDictionary[object, tuple[torch.device, int]] = WeakKeyDictionary()
_kept_lock = threading.Lock()

RECORDING: Final = threading.RLock()
"""Held while a CUDA graph is recorded. Meanwhile no other thread may return memory to the device."""


class ResidentModels(Protocol):
    """The loaded models of a device: what occupies its memory and can be evicted."""

    def resident_bytes(self) -> int:
        """Memory of the loaded models."""

    def reserved_bytes(self) -> int:
        """Estimated memory of the models that are being loaded."""

    def evict_idle(self, until: Callable[[], bool] | None = None) -> Sequence[object]:
        """Unload idle models, least recently used first, until ``until`` returns True; return the unloaded ones."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where networks run.

    Attributes:
        torch_device: The PyTorch device.
        limit_bytes: Maximum memory to use there, or None for all that is free.
        has_bfloat16: Whether it is a CPU that multiplies bfloat16 faster than float32.
        residents: The models loaded there, which can be evicted; None: there are none.
    """

    torch_device: torch.device
    limit_bytes: int | None = None
    has_bfloat16: bool = False
    residents: ResidentModels | None = field(default=None, compare=False, repr=False)

    @classmethod
    def find(
        cls, setting: str = "auto", limit_mb: int | None = None, residents: ResidentModels | None = None
    ) -> Device:
        """Resolve the settings ``device`` ("auto", "cpu", "cuda" or "cuda:N") and ``memory_limit_mb``.

        Raises:
            Unavailable: The GPU does not exist.
        """
        import torch

        limit_threads(torch.get_num_threads, torch.set_num_threads)
        count = torch.cuda.device_count() if setting != "cpu" and torch.cuda.is_available() else 0
        limit = None if limit_mb is None else limit_mb * MB
        if setting == "cpu" or (setting == "auto" and not count):
            return cls(torch.device("cpu"), limit, cpu_has_bfloat16(), residents)
        torch_device = torch.device("cuda:0" if setting in {"auto", "cuda"} else setting)
        if (torch_device.index or 0) >= count:
            raise Unavailable(f"This worker is set to compute on {setting}, but there is no such GPU.")
        return cls(torch_device, limit, residents=residents)

    @property
    def label(self) -> str:
        """Its name, for people: "cpu", or "cuda:0 NVIDIA H200"."""
        if not self.is_cuda:
            return str(self.torch_device)
        import torch

        return f"{self.torch_device} {torch.cuda.get_device_name(self.torch_device)}"

    @property
    def is_cuda(self) -> bool:
        """Whether it is an NVIDIA GPU."""
        return self.torch_device.type == "cuda"

    def available_bytes(self) -> int:
        """Free memory within the limit, minus what is reserved for models that are being loaded.

        Negative if more is reserved than there is. On a GPU the limit covers all memory that this process has
        allocated there. On a CPU the process holds much else, so the limit covers only the loaded models, by their
        measured sizes, and new work.
        """
        used = reserved = 0
        if self.residents is not None:
            used, reserved = self.residents.resident_bytes(), self.residents.reserved_bytes()
        if self.is_cuda:
            import torch

            used = torch.cuda.memory_allocated(self.torch_device)
            free = (
                torch.cuda.mem_get_info(self.torch_device)[0]
                + torch.cuda.memory_reserved(self.torch_device)
                - used
                - kept_bytes(self.torch_device)
            )
        else:
            free = free_host_bytes()
        if self.limit_bytes is not None:
            free = min(free, self.limit_bytes - used)
        return free - reserved

    def free_bytes(self) -> int:
        """Memory that new work may use, at least 0."""
        return max(0, self.available_bytes())

    def evict_until(self, size_bytes: int) -> int:
        """Evict idle models, least recently used first, until ``size_bytes`` are free; return what is free then."""
        if self.residents is not None and self.available_bytes() < size_bytes:
            self.residents.evict_idle(lambda: self.available_bytes() >= size_bytes)
        return self.free_bytes()

    def free_memory(self) -> bool:
        """After memory ran out, free caches and evict idle models; return whether any was evicted.

        Call outside of ``except``: the exception's traceback keeps tensors alive.
        """
        self.release()
        return self.residents is not None and bool(self.residents.evict_idle())

    def release(self) -> None:
        """Free unused memory but keep idle models. Call outside of ``except``, like ``free_memory``."""
        release_memory()


def release_memory(*, collect: bool = True) -> None:
    """Return unused memory to the devices and to the operating system.

    Args:
        collect: Whether to collect reference cycles first, which takes a moment.
    """
    if collect:
        gc.collect()
    torch = sys.modules.get("torch")  # if it was never imported, it holds no memory
    if torch is not None and torch.cuda.is_initialized():
        with RECORDING:
            torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # exists only in glibc, which keeps freed memory
    if trim is not None:
        trim(0)


def keep_bytes(owner: object, torch_device: torch.device, size_bytes: int) -> None:
    """Tell that PyTorch keeps free memory of a GPU that only ``owner`` can use, as long as ``owner`` exists."""
    with _kept_lock:
        _kept[owner] = torch_device, size_bytes


def kept_bytes(torch_device: torch.device) -> int:
    """Memory that is free for its owners only."""
    with _kept_lock:
        return sum(size_bytes for device, size_bytes in _kept.values() if device == torch_device)


def free_host_bytes(cgroups: Path = _CGROUPS) -> int:
    """Main memory in bytes that this process may still allocate, within its container's limit."""
    return host_memory(cgroups)[1]


def host_memory(cgroups: Path = _CGROUPS) -> tuple[int, int]:
    """Total and free main memory in bytes, within the container's limit."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    for limit, used, statistics, droppable in _CGROUP_FILES:
        try:
            limit_bytes = int((cgroups / limit).read_text())
            used_bytes = int((cgroups / used).read_text())
            lines = dict(line.split() for line in (cgroups / statistics).read_text().splitlines())
            free = min(free, max(0, limit_bytes - used_bytes + int(lines[droppable])))
            total = min(total, limit_bytes)
        except (OSError, ValueError, KeyError):  # does not exist, or is "max"
            continue
    return total, free


def cpu_has_bfloat16(cpu_info: Path = _CPU_INFO) -> bool:
    """Whether the CPU has bfloat16 instructions; a CPU that emulates them is slower with bfloat16, not faster."""
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:  # not Linux
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _BFLOAT16_FLAGS.isdisjoint(flags)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that host or device memory ran out."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _says(error, _OOM_MESSAGES)


def is_perhaps_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` of cuDNN or cuBLAS can mean, among other things, that memory ran out."""
    return isinstance(error, RuntimeError) and _says(error, _PERHAPS_OOM_MESSAGES) and not is_out_of_memory(error)


def is_device_lost(error: BaseException) -> bool:
    """Whether ``error``, or what caused it, means that this process can no longer use the GPU.

    An error of a kernel is reported by a later call, and cuDNN and cuBLAS report it in words that do not name it.
    Therefore the GPU is asked whenever the error mentions CUDA.
    """
    errors = list(_chain(error))
    if any(isinstance(each, DeviceLost) or _says_lost(each) for each in errors):
        return True
    if not any(
        isinstance(each, RuntimeError) and _says(each, ("CUDA", "cuDNN", "CUDNN", "CUBLAS")) for each in errors
    ):
        return False
    try:
        wait_for_gpu()
    except RuntimeError as found:
        return _says_lost(found)
    return False


def wait_for_gpu() -> None:
    """Wait until the GPUs that this process uses have done all that they were given.

    Raises:
        RuntimeError: One of them has failed, perhaps long ago.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    for index in range(torch.cuda.device_count()):
        if torch.cuda.memory_reserved(index):  # it is in use
            torch.cuda.synchronize(index)


def _says_lost(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "CUDA" in str(error) and _says(error, _LOST_MESSAGES)


def _says(error: BaseException, messages: Sequence[str]) -> bool:
    text = str(error)
    return any(message in text for message in messages)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, and what caused that."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
