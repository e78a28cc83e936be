"""What the GPU is doing. The driver's library is stood in for by one that says what a test wants it to."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from framepack.models.memory.device import Device
from framepack.models.memory.gpu_status import Gpu, read_gpu, read_memory, read_nvml

UUID = "GPU-0b3f9a52-8d55-4a51-9f5d-000000000001"


class NotSupportedError(Exception):
    """The driver's own error."""


class Driver:
    """The few functions of NVML that are asked; those named in ``broken`` fail."""

    NVMLError = NotSupportedError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *broken: str) -> None:
        self.broken, self.sessions = broken, 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in self.broken:
            return self._fail
        return super().__getattribute__(name)

    def _fail(self, *_arguments: object) -> None:
        raise NotSupportedError("Not Supported")

    def nvmlInit(self) -> None:  # noqa: N802 - as NVML names it
        """Begin."""
        self.sessions += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        """End."""
        self.sessions -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        """Know one GPU."""
        assert uuid == UUID
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        """Its name."""
        return "NVIDIA GeForce RTX 4090"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        """Its memory."""
        return SimpleNamespace(used=8 << 30, total=24 << 30, free=16 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:  # noqa: N802
        """Its work."""
        return SimpleNamespace(gpu=15, memory=3)

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        """Its heat."""
        return 45


def test_all_values_are_read() -> None:
    """Name, memory, utilization and temperature; the library is let go of."""
    driver = Driver()

    assert read_nvml(driver, UUID) == Gpu("NVIDIA GeForce RTX 4090", 8 << 30, 24 << 30, 15, 45)
    assert driver.sessions == 0


def test_values_that_nvml_does_not_support_are_none() -> None:
    """Slices of a GPU have neither utilization nor temperature, but memory."""
    driver = Driver("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetTemperature")

    assert read_nvml(driver, UUID) == Gpu("NVIDIA GeForce RTX 4090", 8 << 30, 24 << 30)


def test_a_failing_nvml_returns_none() -> None:
    """Without the library, or where it does not know the GPU, others are asked; nothing stays open."""
    for broken in ("nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetMemoryInfo"):
        driver = Driver(broken)
        assert read_nvml(driver, UUID) is None
        assert driver.sessions == 0


def test_the_real_pynvml_has_the_functions_used() -> None:
    """Without a driver it says so by its own error, and that is understood."""
    import pynvml

    names = [name for name in vars(Driver) if name.startswith(("nvml", "NVML"))]
    assert len(names) > 6
    assert all(hasattr(pynvml, name) for name in names)
    assert read_nvml(pynvml, UUID) is None


def test_a_cpu_has_no_gpu_status() -> None:
    """Nothing is asked where networks run on the CPU."""
    assert read_gpu(Device.find("cpu")) is None


def test_memory_of_a_gpu_is_used_and_total() -> None:
    """PyTorch tells what is free; a GPU that has failed has no figures, and ends nothing."""

    def fail(_device: str) -> tuple[int, int]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def answering(answer: Callable[[str], tuple[int, int]]) -> Any:
        return SimpleNamespace(cuda=SimpleNamespace(mem_get_info=answer))

    memory = {"cuda:1": (16 << 30, 24 << 30)}
    assert read_memory("cuda:1", answering(memory.__getitem__)) == (8 << 30, 24 << 30)
    assert read_memory("cuda:1", answering(fail)) is None
