"""What the GPU is doing: read from NVML, the driver's own monitor, or from torch where that is not to be had."""

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
    """A GPU at one moment.

    Attributes:
        name: what it is called.
        used_bytes: memory in use, by all processes.
        total_bytes: memory it has.
        utilization: share of the last moment in which it computed, in percent; None if the driver does not say.
        temperature: degrees Celsius; None if the driver does not say.
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

    properties = torch.cuda.get_device_properties(device.place)
    # By its identity, not its number: CUDA_VISIBLE_DEVICES renumbers the GPUs for torch and not for NVML.
    return ask_driver(pynvml, f"GPU-{properties.uuid}") or _ask_torch(device.place)


def ask_driver(nvml: Any, uuid: str) -> Gpu | None:
    """Ask NVML about one GPU; None if it cannot say how much memory that has.

    Args:
        nvml: the module pynvml.
        uuid: the GPU's identity, as NVML writes it.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.debug("NVML is not there: %s", error)
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


def _utilization(nvml: Any, handle: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError:  # slices of a GPU have none of their own
        return None


def _temperature(nvml: Any, handle: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    except nvml.NVMLError:
        return None


def _ask_torch(place: torch.device) -> Gpu:
    import torch

    free, total = torch.cuda.mem_get_info(place)
    return Gpu(torch.cuda.get_device_name(place), total - free, total)
