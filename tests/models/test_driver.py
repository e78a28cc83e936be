"""What the NVIDIA driver says, from NVML or from the files it makes. NVML is stood in for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framepack.models.driver import Driver, minimum_driver, read_driver

KERNEL = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (builder@host)\nGCC 12.3\n"
)


class NvmlError(Exception):
    """NVML's own error."""


class Nvml:
    """The few functions of NVML that are asked; those named in ``broken`` fail."""

    NVMLError = NvmlError

    def __init__(self, *broken: str, names: tuple[str, ...] = ("NVIDIA L4", "NVIDIA L4")) -> None:
        self.broken, self.names, self.sessions = broken, names, 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in self.broken:
            raise NvmlError("Driver/library version mismatch")
        return super().__getattribute__(name)

    def nvmlInit(self) -> None:  # noqa: N802 - as NVML names it
        """Begin."""
        self.sessions += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        """End."""
        self.sessions -= 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        """Its version."""
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """How many GPUs."""
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        """One of them."""
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        """Its name."""
        return self.names[handle]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of device files with one GPU, and the kernel module's version."""
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    (tmp_path / "version").write_text(KERNEL)
    return tmp_path, tmp_path / "version"


def test_version_and_gpus_come_from_nvml(files: tuple[Path, Path]) -> None:
    """Version and names are its own, and the library is let go of."""
    nvml = Nvml()

    driver = read_driver(nvml, *files)

    assert (driver.version, driver.major, driver.gpus) == ("580.65.06", 580, ("NVIDIA L4", "NVIDIA L4"))
    assert nvml.sessions == 0


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlSystemGetDriverVersion", "nvmlDeviceGetCount"])
def test_driver_files_are_used_without_nvml(files: tuple[Path, Path], broken: str) -> None:
    """A mismatch between library and kernel breaks NVML, but the GPU and the loaded driver's version are there."""
    nvml = Nvml(broken)

    driver = read_driver(nvml, *files)

    assert (driver.version, driver.major) == ("550.54.15", 550)
    assert driver.gpus == (f"{files[0]}/nvidia0",)
    assert nvml.sessions == 0


def test_a_machine_without_a_driver_has_none(tmp_path: Path) -> None:
    """Neither a version nor a GPU."""
    driver = read_driver(Nvml("nvmlInit"), tmp_path, tmp_path / "version")

    assert (driver.version, driver.major, driver.gpus) == (None, None, ())


def test_the_real_pynvml_has_the_functions_used() -> None:
    """Every function that is stood in for exists, and its absence of a driver is understood."""
    import pynvml

    names = [name for name in vars(Nvml) if name.startswith("nvml")]
    assert len(names) > 5
    assert all(hasattr(pynvml, name) for name in names)
    assert isinstance(read_driver(), Driver)


def test_the_locked_torch_has_a_known_minimum_driver() -> None:
    """The table knows the CUDA of the torch that is installed, so that the sentence can name a driver."""
    import torch

    assert torch.version.cuda is None or (minimum_driver(torch.version.cuda) or 0) >= 450
    assert [minimum_driver(cuda) for cuda in ("13.2", "12.9", "11.8", "10.2")] == [580, 525, 450, None]
