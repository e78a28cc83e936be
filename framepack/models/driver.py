"""What the NVIDIA driver of this machine says, asked without loading torch."""

from __future__ import annotations

import ctypes
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

log = logging.getLogger("framepack.models")

_DEVICES: Final = Path("/dev")
_KERNEL_MODULE: Final = Path("/proc/driver/nvidia/version")
_VERSION: Final = re.compile(r"\b\d{3,}\.\d+(?:\.\d+)?\b")
# The oldest driver branch that runs programs built for a major version of CUDA; by table 1 of the chapter "Minor
# Version Compatibility" of NVIDIA's CUDA Compatibility guide.
_OLDEST: Final = {11: 450, 12: 525, 13: 580}


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver.

    Attributes:
        version: Such as "580.65.06"; None if it is not known.
        gpus: Names of the GPUs that it shows; a GPU whose name it does not tell is called after its device file.
        has_library: Whether programs can load its CUDA library.
    """

    version: str | None = None
    gpus: tuple[str, ...] = ()
    has_library: bool = False

    @property
    def major(self) -> int | None:
        """The branch of the version, which decides what CUDA it can serve."""
        return None if self.version is None else int(self.version.partition(".")[0])


def read_driver(nvml: Any = None, devices: Path = _DEVICES, kernel_module: Path = _KERNEL_MODULE) -> Driver:
    """Ask NVML, the driver's own monitor, and, where that is not to be had, the files that the driver makes.

    Args:
        nvml: The module pynvml, or what stands in for it; None imports it.
        devices: The folder of device files.
        kernel_module: The file in which the kernel's part of the driver gives its version.
    """
    if nvml is None:
        import pynvml

        nvml = pynvml
    version, gpus = _from_nvml(nvml)
    if version is None:
        version = _from_kernel(kernel_module)
    if not gpus:
        gpus = tuple(sorted(str(path) for path in devices.glob("nvidia[0-9]*")))
    return Driver(version, gpus, _has_library())


def oldest_driver(cuda: str) -> int | None:
    """The oldest driver branch that serves programs built for a version of CUDA, such as "13.2"; None: not known."""
    return _OLDEST.get(int(cuda.partition(".")[0]))


def _from_nvml(nvml: Any) -> tuple[str | None, tuple[str, ...]]:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.debug("NVML is not there: %s", error)
        return None, ()
    try:
        version = str(nvml.nvmlSystemGetDriverVersion())
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return version, tuple(str(nvml.nvmlDeviceGetName(handle)) for handle in handles)
    except nvml.NVMLError as error:
        log.debug("NVML does not describe the GPUs: %s", error)
        return None, ()
    finally:
        nvml.nvmlShutdown()


def _from_kernel(kernel_module: Path) -> str | None:
    try:
        found = _VERSION.search(kernel_module.read_text())
    except OSError:
        return None
    return found[0] if found else None


def _has_library() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
