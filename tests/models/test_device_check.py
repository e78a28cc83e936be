"""Where networks run, and whether they can. A driver and torch's view of GPUs are stood in for, the CPU is real."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from framepack.models import device_check
from framepack.models.device_check import DeviceReport, convolution_error, examine_device, try_cpu
from framepack.models.driver import Driver
from tests.support.control_plane import ROOT

L4 = Driver("580.65.06", ("NVIDIA L4",), has_library=True)
NONE = Driver()


def torch_with(count: int, cuda: str | None = "13.2", says: str = "CUDA unknown error") -> Any:
    """What torch shows of ``count`` GPUs."""

    def init() -> None:
        raise RuntimeError(f"{says}\nmore lines")

    properties = SimpleNamespace(name="NVIDIA L4", major=8, minor=9, total_memory=24 << 30)
    gpus = SimpleNamespace(
        is_available=lambda: count > 0,
        device_count=lambda: count,
        init=init,
        get_device_properties=lambda _place: properties,
        get_arch_list=lambda: ["sm_75", "sm_90"],
    )
    return SimpleNamespace(
        cuda=gpus,
        version=SimpleNamespace(cuda=cuda),
        __version__="2.15.0",
        device=torch.device,
        float16=torch.float16,
    )


@pytest.fixture
def computes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what the convolution on a GPU that is not there gives: an error's size, or an exception."""

    def give(outcome: float | Exception) -> None:
        def convolve(_place: torch.device, _dtype: torch.dtype) -> float:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(device_check, "convolution_error", convolve)

    return give


def test_a_working_gpu_is_described(computes: Any) -> None:
    """With its place, capability, memory and driver."""
    computes(0.001)

    report = examine_device("auto", L4, torch_with(2))

    assert report.problem is None
    assert report.description == "NVIDIA L4 (cuda:0, compute capability 8.9, 24.0 GB, driver 580.65.06)"
    assert examine_device("cuda:1", L4, torch_with(2)).device == "cuda:1"


def test_a_driver_too_old_for_pytorch_is_reported_with_the_required_version() -> None:
    """Both versions, the CUDA that torch was built for, and where to get another machine."""
    report = examine_device("auto", Driver("550.54.15", ("NVIDIA L4",)), torch_with(0))

    assert report.problem == (
        "The driver 550.54.15 shows a GPU (NVIDIA L4) that PyTorch 2.15.0 cannot use: "
        "it is built for CUDA 13.2, which needs driver 580 or newer."
    )
    assert report.remedy == (
        "Use a machine with driver 580 or newer (on RunPod: allow CUDA 13.0 and up), "
        "or set FRAMEPACK_DEVICE=cpu to compute on the CPU."
    )


def test_a_gpu_that_pytorch_cannot_use_is_reported_with_pytorchs_message() -> None:
    """The driver is new enough: what torch says, one line of it, is all that is known."""
    report = examine_device("auto", L4, torch_with(0))

    assert str(report.problem).endswith("and says: CUDA unknown error")
    assert "--gpus all" in str(report.remedy)


def test_a_pytorch_build_without_cuda_is_reported() -> None:
    """It is the torch, not the driver, that must be changed."""
    report = examine_device("auto", L4, torch_with(0, cuda=None))

    assert "is built without CUDA" in str(report.problem)
    assert "Install a PyTorch with CUDA" in str(report.remedy)


@pytest.mark.parametrize("setting", ["cuda", "cuda:2"])
def test_a_configured_gpu_that_does_not_exist_is_reported(setting: str) -> None:
    """With the setting, and with how many there are."""
    alone = examine_device(setting, NONE, torch_with(0))
    assert (alone.problem or "").startswith(f"FRAMEPACK_DEVICE={setting} names a GPU that is not there: ")

    among = examine_device("cuda:2", L4, torch_with(2))
    assert "there are 2, from cuda:0" in str(among.problem)


@pytest.mark.parametrize(
    ("variables", "promise"),
    [
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, "NVIDIA_VISIBLE_DEVICES=all"),
        ({"NVIDIA_VISIBLE_DEVICES": "GPU-5a"}, "NVIDIA_VISIBLE_DEVICES=GPU-5a"),
        ({"NVIDIA_VISIBLE_DEVICES": "void", "RUNPOD_GPU_COUNT": "1"}, "RUNPOD_GPU_COUNT=1"),
    ],
)
@pytest.mark.parametrize("driver", [NONE, Driver(has_library=True)])
def test_a_runpod_machine_that_promises_a_gpu_and_has_none_is_reported(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], promise: str, driver: Driver
) -> None:
    """The CPU would do the job at the price of the GPU. Whoever wants that says so."""
    monkeypatch.setenv("RUNPOD_POD_ID", "pod")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    report = examine_device("auto", driver, torch_with(0))

    assert report.problem == f"This RunPod machine promises a GPU ({promise}), but the driver shows none."
    assert "FRAMEPACK_DEVICE=cpu" in str(report.remedy)
    assert examine_device("cpu", driver, torch_with(0)).problem is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert examine_device("auto", driver, torch_with(0)).problem is None


@pytest.mark.parametrize(
    "variables",
    [
        {"NVIDIA_VISIBLE_DEVICES": "all"},
        {"RUNPOD_POD_ID": "pod"},
        {"RUNPOD_POD_ID": "pod", "NVIDIA_VISIBLE_DEVICES": "void"},
        {"RUNPOD_POD_ID": "pod", "NVIDIA_VISIBLE_DEVICES": "all", "RUNPOD_GPU_COUNT": "0"},
    ],
)
def test_a_machine_that_promises_no_gpu_computes_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """Also in the image, which sets one of the variables everywhere, and on RunPod's machines without GPUs."""
    for name in ("RUNPOD_POD_ID", "NVIDIA_VISIBLE_DEVICES", "RUNPOD_GPU_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    report = examine_device("auto", NONE, torch_with(0))

    assert (report.device, report.problem) == ("cpu", None)


@pytest.mark.parametrize("outcome", [0.5, float("inf")])
def test_a_gpu_with_wrong_results_is_reported(computes: Any, outcome: float) -> None:
    """Also one whose results are no numbers."""
    computes(outcome)

    assert "computes wrongly" in str(examine_device("auto", L4, torch_with(1)).problem)


def test_a_gpu_without_kernels_in_pytorch_is_reported_with_the_supported_ones(computes: Any) -> None:
    """The capability of the GPU and those that torch was built for."""
    computes(RuntimeError("CUDA error: no kernel image is available for execution on the device"))

    report = examine_device("auto", L4, torch_with(1))

    assert "has no code for NVIDIA L4 (cuda:0, compute capability 8.9" in str(report.problem)
    assert "it has sm_75, sm_90." in str(report.problem)


def test_a_failing_gpu_is_reported_in_one_line(computes: Any) -> None:
    """What torch adds about debugging is left out."""
    computes(RuntimeError("CUDA error: uncorrectable ECC error encountered\nCompile with TORCH_USE_CUDA_DSA"))

    problem = str(examine_device("auto", L4, torch_with(1)).problem)

    assert problem.endswith("cannot compute: CUDA error: uncorrectable ECC error encountered")


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpus_hidden_by_the_environment_are_not_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """CUDA_VISIBLE_DEVICES without any device means the CPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)

    assert examine_device("auto", L4, torch_with(0)).device == "cpu"


def test_auto_selects_the_cpu_when_the_driver_shows_no_gpu() -> None:
    """Torch is asked, and believed."""
    report = examine_device("auto", Driver("580.65.06", (), has_library=True), torch_with(0))

    assert (report.device, report.problem) == ("cpu", None)


def test_torch_is_not_imported_without_a_gpu() -> None:
    """Its first answer would come seconds later."""
    code = (
        "import json, sys\n"
        "from framepack.models.device_check import examine_device\n"
        "from framepack.models.driver import Driver\n"
        "found = [examine_device('cpu').name, examine_device('auto', Driver()).name]\n"
        "print(json.dumps([found, 'torch' in sys.modules]))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    (name, same), has_torch = json.loads(result.stdout)
    assert name == same
    assert name.startswith("the CPU (")
    assert not has_torch


def test_convolution_error_is_small_in_half_precision_on_the_cpu() -> None:
    """The very computation that a GPU is tried with, within its tolerance, but not exactly as in single precision."""
    cpu = torch.device("cpu")

    assert 0 < convolution_error(cpu, torch.float16) < device_check._TOLERANCE
    assert convolution_error(cpu, torch.float32) < 1e-4
    assert try_cpu() is None


def test_convolution_error_is_large_for_a_wrong_result_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that gets one of the kernel's taps wrong is far over the tolerance; one without numbers is, too."""
    convolve = torch.nn.functional.conv2d
    calls: list[int] = []

    def faulty(frame: torch.Tensor, kernel: torch.Tensor, **options: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) % 2 == 0:
            kernel = kernel.clone()
            kernel[0, 0, 0, 0] = value
        return convolve(frame, kernel, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", faulty)
    for value in (1.0, float("nan")):  # noqa: B007 - read by faulty
        assert convolution_error(torch.device("cpu"), torch.float16) > device_check._TOLERANCE
    assert "wrong results" in str(try_cpu())


def test_the_cpu_is_described_without_a_driver() -> None:
    """What is told of it is its name alone."""
    report = DeviceReport("cpu", "the CPU (2 cores)", driver="580.65.06")

    assert report.description == "the CPU (2 cores)"
