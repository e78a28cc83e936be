"""Check that networks run on the intended device, and that it computes correct results.

PyTorch silently falls back to the CPU when it cannot use a GPU. On a rented GPU that is the worst outcome: every job
succeeds, at a hundredth of the speed and the full price. This check compares the GPUs that the driver reports with
those that PyTorch can use, and computes a small convolution whose result is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from framepack.environment import are_gpus_hidden, promised_gpu
from framepack.models.driver import Driver, minimum_driver, read_driver
from framepack.processors import usable_processors
from framepack.units import GIB

if TYPE_CHECKING:
    import torch

_TOLERANCE: Final = 0.02  # for results of about 1: half precision has 11 bits, and some devices also accumulate in it
_ON_CPU: Final = "set FRAMEPACK_DEVICE=cpu to compute on the CPU"
_GIVE_GPU: Final = (
    "Give the container the GPU (`docker run --gpus all`, NVIDIA_DRIVER_CAPABILITIES=compute,utility,video)"
)


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """The device that networks run on.

    Attributes:
        device: PyTorch's name, such as "cuda:0"; the setting, if there is no such device.
        name: Product name.
        capability: Compute capability of a GPU, such as "9.0".
        memory_bytes: Total memory of a GPU.
        driver: Version of the NVIDIA driver.
        cuda: Version of CUDA that PyTorch was built for; None if PyTorch was not loaded.
        problem: A sentence that says why networks cannot run there; None if they can.
        remedy: A sentence that says what to do about it.
    """

    device: str
    name: str
    capability: str | None = None
    memory_bytes: int | None = None
    driver: str | None = None
    cuda: str | None = None
    problem: str | None = None
    remedy: str | None = None

    @property
    def description(self) -> str:
        """The device in a sentence: "NVIDIA H200 (cuda:0, compute capability 9.0, 139.8 GB, driver 580.65.06)"."""
        facts = [] if self.device == "cpu" else [self.device]
        if self.capability is not None:
            facts.append(f"compute capability {self.capability}")
        if self.memory_bytes is not None:
            facts.append(f"{self.memory_bytes / GIB:.1f} GB")
        if self.driver is not None and self.device != "cpu":
            facts.append(f"driver {self.driver}")
        return f"{self.name} ({', '.join(facts)})" if facts else self.name


def examine_device(setting: str, driver: Driver | None = None, torch: Any = None) -> DeviceReport:
    """Find the device that the setting selects, and run a small convolution on it.

    Imports torch only if there may be a GPU or the setting names one, so that a worker on a CPU starts quickly.

    Args:
        setting: "auto", "cpu", "cuda" or "cuda:N".
        driver: The driver; None reads it.
        torch: The module, or a substitute; None imports it.
    """
    if setting == "cpu":
        return _cpu()
    driver = read_driver() if driver is None else driver
    may_have_gpu = bool(driver.gpus or driver.has_library) and not are_gpus_hidden()
    if setting == "auto" and not may_have_gpu:
        return _cpu_unless_promised()
    if torch is None:
        import torch
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(setting.partition(":")[2] or 0) if setting != "auto" else 0
    if index < count:
        return _examined(torch.device("cuda", index), driver, torch)
    if count == 0 and driver.gpus and not are_gpus_hidden():
        return _unusable(setting, driver, torch)
    if setting == "auto":
        return _cpu_unless_promised()
    return _absent(setting, count, torch.version.cuda)


def try_cpu() -> str | None:
    """Run a small convolution on the CPU; return an error message, or None if the result is correct."""
    try:
        import torch

        error = convolution_error(torch.device("cpu"), torch.float32)
    except (ImportError, OSError, RuntimeError) as failed:
        return f"PyTorch cannot be used: {_first_line(str(failed))}"
    return f"PyTorch computes wrong results on the CPU: off by {error:.2g}." if error > _TOLERANCE else None


def convolution_error(device: torch.device, dtype: torch.dtype) -> float:
    """Return the maximum error of a small convolution against the CPU in single precision.

    The magnitude of the results is about 1.
    """
    import torch

    random = torch.Generator().manual_seed(1)
    frame = torch.randn(1, 16, 48, 48, generator=random).to(dtype)
    kernel = (torch.randn(16, 16, 3, 3, generator=random) / 12).to(dtype)
    convolve = torch.nn.functional.conv2d
    expected = convolve(frame.float(), kernel.float(), padding=1)
    computed = convolve(frame.to(device), kernel.to(device), padding=1).float().cpu()
    return float((computed - expected).abs().nan_to_num(nan=float("inf")).max())


def _cpu() -> DeviceReport:
    cores = usable_processors()
    return DeviceReport("cpu", f"the CPU ({cores} core{'s' if cores > 1 else ''})")


def _examined(device: torch.device, driver: Driver, torch: Any) -> DeviceReport:
    """Describe and test a GPU that PyTorch can use."""
    found = DeviceReport(str(device), str(device), driver=driver.version, cuda=torch.version.cuda)
    try:
        properties = torch.cuda.get_device_properties(device)
        found = replace(
            found,
            name=properties.name,
            capability=f"{properties.major}.{properties.minor}",
            memory_bytes=properties.total_memory,
        )
        error = convolution_error(device, torch.float16)
    except RuntimeError as failed:
        return _broken(found, str(failed), torch)
    if error > _TOLERANCE:
        return replace(
            found,
            problem=f"{found.description} computes wrongly: a convolution in half precision is off by {error:.2g}.",
            remedy=f"Use another machine: the GPU or its driver is faulty. Or {_ON_CPU}.",
        )
    return found


def _broken(found: DeviceReport, reason: str, torch: Any) -> DeviceReport:
    if "no kernel image" in reason:
        known = ", ".join(torch.cuda.get_arch_list())
        problem = f"PyTorch {torch.__version__} has no code for {found.description}; it has {known}."
        return replace(found, problem=problem, remedy=f"Use a GPU of these, or {_ON_CPU}.")
    problem = f"{found.description} cannot compute: {_first_line(reason)}"
    return replace(found, problem=problem, remedy=f"Use another machine, or {_ON_CPU}.")


def _unusable(setting: str, driver: Driver, torch: Any) -> DeviceReport:
    """Report a GPU that the driver shows but PyTorch cannot use."""
    cuda: str | None = torch.version.cuda
    shown = f"The driver {driver.version or '(of unknown version)'} shows a GPU ({driver.gpus[0]})"
    minimum = minimum_driver(cuda) if cuda else None
    if cuda is None:
        reason, remedy = "is built without CUDA.", "Install a PyTorch with CUDA"
    elif minimum is not None and driver.major is not None and driver.major < minimum:
        reason = f"is built for CUDA {cuda}, which needs driver {minimum} or newer."
        remedy = (
            f"Use a machine with driver {minimum} or newer (on RunPod: allow CUDA {cuda.partition('.')[0]}.0 and up)"
        )
    else:
        reason = f"is built for CUDA {cuda}, which needs driver {minimum} or newer, and says: {_refusal(torch)}"
        remedy = _GIVE_GPU
    problem = f"{shown} that PyTorch {torch.__version__} cannot use: it {reason}"
    return DeviceReport(
        setting, driver.gpus[0], None, None, driver.version, cuda, problem, f"{remedy}, or {_ON_CPU}."
    )


def _cpu_unless_promised() -> DeviceReport:
    promise = None if are_gpus_hidden() else promised_gpu()
    if promise is None:
        return _cpu()
    problem = f"This RunPod machine promises a GPU ({promise}), but the driver shows none."
    return DeviceReport("auto", "auto", problem=problem, remedy=f"{_GIVE_GPU}, or {_ON_CPU}.")


def _absent(setting: str, count: int, cuda: str | None) -> DeviceReport:
    there = f"there are {count}, from cuda:0" if count else "this machine shows none"
    problem = f"FRAMEPACK_DEVICE={setting} names a GPU that is not there: {there}."
    remedy = "Set FRAMEPACK_DEVICE to one that is there" if count else _GIVE_GPU
    return DeviceReport(setting, setting, cuda=cuda, problem=problem, remedy=f"{remedy}, or {_ON_CPU}.")


def _refusal(torch: Any) -> str:
    """Return PyTorch's own message about why it has no GPU."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return _first_line(str(error))
    return "no CUDA device."


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
