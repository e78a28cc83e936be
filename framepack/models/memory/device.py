"""The device that networks run on: which one, how much memory is free, making room, and telling when it ran out."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from framepack.errors import Unavailable

if TYPE_CHECKING:
    import torch

MB: Final = 1 << 20
"""What settings and the catalog call a megabyte."""

GB: Final = 1 << 30
"""As memory is counted, also in what clients see."""

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


class ResidentModels(Protocol):
    """The models that live on a device, as those see them who need memory there."""

    def resident_bytes(self) -> int:
        """What the loaded ones hold."""

    def reserved_bytes(self) -> int:
        """What the ones being loaded are about to take."""

    def release_idle(self, until: Callable[[], bool] | None = None) -> Sequence[object]:
        """Close idle ones, the least recently used first, ``until`` it is enough; return those that left."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where networks run.

    Attributes:
        place: the device as torch names it.
        limit_bytes: most memory to use there, or None for what is free.
        has_bfloat16: whether it is a CPU that multiplies bfloat16 faster than float32.
        residents: the models that share it; None: nobody else is there.
    """

    place: torch.device
    limit_bytes: int | None = None
    has_bfloat16: bool = False
    residents: ResidentModels | None = field(default=None, compare=False, repr=False)

    @classmethod
    def find(
        cls, setting: str = "auto", limit_mb: int | None = None, residents: ResidentModels | None = None
    ) -> Device:
        """Resolve the settings ``device`` ("auto", "cpu", "cuda" or "cuda:N") and ``memory_limit_mb``.

        Raises:
            Unavailable: the named GPU is not there.
        """
        import torch

        count = torch.cuda.device_count() if setting != "cpu" and torch.cuda.is_available() else 0
        limit = None if limit_mb is None else limit_mb * MB
        if setting == "cpu" or (setting == "auto" and not count):
            return cls(torch.device("cpu"), limit, cpu_has_bfloat16(), residents)
        place = torch.device("cuda:0" if setting in {"auto", "cuda"} else setting)
        if (place.index or 0) >= count:
            raise Unavailable(f"This worker is set to compute on {setting}, but there is no such GPU.")
        return cls(place, limit, residents=residents)

    @property
    def is_cuda(self) -> bool:
        """Whether it is an NVIDIA GPU."""
        return self.place.type == "cuda"

    def available_bytes(self) -> int:
        """Memory that is not spoken for: what is free, within the limit, less what models being loaded will take.

        Negative if those are promised more than there is. On a GPU the limit covers all that this process holds
        there. On the CPU, where the process holds much besides, it covers the models, by what they were measured to
        hold, and new work.
        """
        held = promised = 0
        if self.residents is not None:
            held, promised = self.residents.resident_bytes(), self.residents.reserved_bytes()
        if self.is_cuda:
            import torch

            held = torch.cuda.memory_allocated(self.place)
            free = torch.cuda.mem_get_info(self.place)[0] + torch.cuda.memory_reserved(self.place) - held
        else:
            free = free_host_bytes()
        if self.limit_bytes is not None:
            free = min(free, self.limit_bytes - held)
        return free - promised

    def free_bytes(self) -> int:
        """Memory that new work may take."""
        return max(0, self.available_bytes())

    def evict_until(self, size_bytes: int) -> int:
        """Let idle models leave, the least recently used first, until so much is free; return what is free then."""
        if self.residents is not None and self.available_bytes() < size_bytes:
            self.residents.release_idle(lambda: self.available_bytes() >= size_bytes)
        return self.free_bytes()

    def free_memory(self) -> bool:
        """Free all that can be freed, after memory ran out; say whether an idle model left.

        Call outside of ``except``: an exception keeps its frames' tensors.
        """
        self.release()
        return self.residents is not None and bool(self.residents.release_idle())

    def release(self) -> None:
        """Give back what is no longer used. Call outside of ``except``, as ``free_memory``."""
        release_memory()


def release_memory(*, collect: bool = True) -> None:
    """Give memory that is no longer used back to the devices and to the system.

    Args:
        collect: whether objects that only refer to each other are looked for first, which takes a moment.
    """
    if collect:
        gc.collect()
    torch = sys.modules.get("torch")  # if nobody has imported it, there is nothing to give back
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only the GNU C library has it, and only it hoards
    if trim is not None:
        trim(0)


def free_host_bytes(cgroups: Path = _CGROUPS) -> int:
    """Main memory that this process may still take: the machine's, within its container's limit."""
    return host_memory(cgroups)[1]


def host_memory(cgroups: Path = _CGROUPS) -> tuple[int, int]:
    """Main memory in bytes, the machine's within its container's limit: how much there is, and how much is free."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    for limit, used, statistics, droppable in _CGROUP_FILES:
        try:
            most = int((cgroups / limit).read_text())
            use = int((cgroups / used).read_text())
            lines = dict(line.split() for line in (cgroups / statistics).read_text().splitlines())
            free = min(free, max(0, most - use + int(lines[droppable])))
            total = min(total, most)
        except (OSError, ValueError, KeyError):  # not there, or "max"
            continue
    return total, free


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
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
