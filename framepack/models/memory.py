"""The device that networks run on: which one, how much memory is free, and telling when it ran out."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import Unavailable

if TYPE_CHECKING:
    import torch

_MB: Final = 1 << 20
_CPU_INFO: Final = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
_CGROUPS: Final = Path("/sys/fs/cgroup")
# Limit, use and statistics of this container, for cgroups 2 and 1; the use includes files that can be dropped.
_CGROUP_FILES: Final = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
# Allocators outside of torch's own raise plain RuntimeErrors; these are parts of what they say.
_SIGNS: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
)


@dataclass(frozen=True, slots=True)
class Device:
    """Where networks run.

    Attributes:
        place: the device as torch names it.
        limit_bytes: most memory to use there, or None for what is free.
        has_bfloat16: whether it is a CPU that multiplies bfloat16 faster than float32.
    """

    place: torch.device
    limit_bytes: int | None = None
    has_bfloat16: bool = False

    @classmethod
    def find(cls, setting: str = "auto", limit_mb: int | None = None) -> Device:
        """Resolve the settings ``device`` ("auto", "cpu", "cuda" or "cuda:N") and ``memory_limit_mb``.

        Raises:
            Unavailable: the named GPU is not there.
        """
        import torch

        count = torch.cuda.device_count() if setting != "cpu" and torch.cuda.is_available() else 0
        limit = None if limit_mb is None else limit_mb * _MB
        if setting == "cpu" or (setting == "auto" and not count):
            return cls(torch.device("cpu"), limit, cpu_has_bfloat16())
        place = torch.device("cuda:0" if setting in {"auto", "cuda"} else setting)
        if (place.index or 0) >= count:
            raise Unavailable(f"This worker is set to compute on {setting}, but there is no such GPU.")
        return cls(place, limit)

    @property
    def is_cuda(self) -> bool:
        """Whether it is an NVIDIA GPU."""
        return self.place.type == "cuda"

    def free_bytes(self) -> int:
        """Memory that new work may take: what is free, within the limit.

        On a GPU the limit covers all that this process holds there; on the CPU, where the process holds much
        besides, it covers the new work alone.
        """
        if not self.is_cuda:
            free = free_host_bytes()
            return free if self.limit_bytes is None else min(free, self.limit_bytes)
        import torch

        held = torch.cuda.memory_allocated(self.place)
        free = torch.cuda.mem_get_info(self.place)[0] + torch.cuda.memory_reserved(self.place) - held
        return free if self.limit_bytes is None else max(0, min(free, self.limit_bytes - held))

    def release(self) -> None:
        """Give back what is no longer used. Call outside of ``except``: an exception keeps its frames' tensors."""
        gc.collect()
        if self.is_cuda:
            import torch

            torch.cuda.empty_cache()


def free_host_bytes(cgroups: Path = _CGROUPS) -> int:
    """Main memory that this process may still take: the machine's, within its container's limit."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used, statistics, droppable in _CGROUP_FILES:
        try:
            most = int((cgroups / limit).read_text())
            use = int((cgroups / used).read_text())
            lines = dict(line.split() for line in (cgroups / statistics).read_text().splitlines())
            free = min(free, max(0, most - use + int(lines[droppable])))
        except (OSError, ValueError, KeyError):  # not there, or "max"
            continue
    return free


def cpu_has_bfloat16(cpu_info: Path = _CPU_INFO) -> bool:
    """Whether the CPU has instructions for bfloat16; one that must emulate it is slower, not faster."""
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:  # not Linux
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _BFLOAT16_FLAGS.isdisjoint(flags)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory, of the host or of the device, ran out."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
