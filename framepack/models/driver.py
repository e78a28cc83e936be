"""Read the NVIDIA driver's version and GPUs without importing torch."""

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
# Minimum driver branch by major version of CUDA, from table 1 of the chapter "Minor Version Compatibility" in
# NVIDIA's CUDA Compatibility guide.
_MIN_DRIVER: Final = {11: 450, 12: 525, 13: 580}


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver.

    Attributes:
        version: Such as "580.65.06"; None if unknown.
        gpus: Names of the visible GPUs; the device file stands for an unknown name.
        has_library: Whether the driver's CUDA library can be loaded.
    """

    version: str | None = None
    gpus: tuple[str, ...] = ()
    has_library: bool = False

    @property
    def major(self) -> int | None:
        """The driver branch, which decides the versions of CUDA that it supports."""
        return None if self.version is None else int(self.version.partition(".")[0])


def read_driver(nvml: Any = None, devices: Path = _DEVICES, kernel_module: Path = _KERNEL_MODULE) -> Driver:
    """Query NVML, or if it is unavailable, the files that the driver creates.

    Args:
        nvml: The module pynvml, or a substitute; None imports it.
        devices: Folder of device files.
        kernel_module: File with the version of the driver's kernel module.
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


def minimum_driver(cuda: str) -> int | None:
    """Return the minimum driver branch for a version of CUDA, such as "13.2"; None if unknown."""
    return _MIN_DRIVER.get(int(cuda.partition(".")[0]))


def _from_nvml(nvml: Any) -> tuple[str | None, tuple[str, ...]]:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.debug("NVML is unavailable: %s", error)
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
