"""Status of the GPU: memory, utilization and temperature, read from NVML, or from PyTorch if NVML is unavailable."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from framepack.models.memory.device import Device

log = logging.getLogger("framepack.models")


@dataclass(frozen=True, slots=True)
class Gpu:
    """Status of a GPU at one moment.

    Attributes:
        name: Product name.
        used_bytes: Memory used by all processes.
        total_bytes: Total memory.
        utilization: Percentage of the last sample period in which it computed; None if unknown.
        temperature: Degrees Celsius; None if unknown.
    """

    name: str
    used_bytes: int
    total_bytes: int
    utilization: int | None = None
    temperature: int | None = None


def read_gpu(device: Device) -> Gpu | None:
    """Read the GPU that networks run on; None if they run on the CPU."""
    if not device.is_cuda:
        return None
    import pynvml
    import torch

    properties = torch.cuda.get_device_properties(device.torch_device)
    # Look the GPU up by its UUID: CUDA_VISIBLE_DEVICES renumbers GPUs for PyTorch but not for NVML.
    return read_nvml(pynvml, f"GPU-{properties.uuid}") or _read_torch(device.torch_device)


def read_nvml(nvml: Any, uuid: str) -> Gpu | None:
    """Read one GPU's status from NVML; None if NVML is unavailable or does not know its memory.

    Args:
        nvml: The module pynvml.
        uuid: The GPU's UUID in NVML's notation.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.debug("NVML is unavailable: %s", error)
        return None
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return Gpu(
            nvml.nvmlDeviceGetName(handle),
            int(memory.used),
            int(memory.total),
            _utilization(nvml, handle),
            _temperature(nvml, handle),
        )
    except nvml.NVMLError as error:
        log.debug("NVML does not describe the GPU: %s", error)
        return None
    finally:
        nvml.nvmlShutdown()


def read_memory(device: str, torch: Any = None) -> tuple[int, int] | None:
    """Read how much memory of a GPU all processes use, and its total memory, in bytes. Takes microseconds.

    Args:
        device: PyTorch's name of the GPU, such as "cuda:0", which this process uses already.
        torch: The module, or a substitute; None imports it.

    Returns:
        None if the GPU does not answer, because it has failed.
    """
    if torch is None:
        import torch
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError as error:
        log.debug("The GPU does not report its memory: %s", error)
        return None
    return total - free, total


def _utilization(nvml: Any, handle: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError:  # MIG instances have none of their own
        return None


def _temperature(nvml: Any, handle: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    except nvml.NVMLError:
        return None


def _read_torch(place: torch.device) -> Gpu:
    import torch

    free, total = torch.cuda.mem_get_info(place)
    return Gpu(torch.cuda.get_device_name(place), total - free, total)
