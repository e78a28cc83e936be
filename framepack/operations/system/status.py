"""``GET /system/status``: current use of memory, GPU and disk of the worker."""

from __future__ import annotations

import shutil
from typing import Final

from pydantic import BaseModel, Field

from framepack import __version__
from framepack.api.schemas import Message, NoFields, SuccessResponse
from framepack.processing.context import Context
from framepack.processing.operation import operation
from framepack.units import GIB

_NO_GPU: Final = "No GPU: networks run on the CPU"


class Usage(BaseModel):
    """Use of a resource; 1 GB has 2^30 bytes."""

    used_gb: float = Field(description="In use, in GB")
    total_gb: float = Field(description="Size, in GB")
    percent: float = Field(description="Share in use; 0 if the total is 0")

    @classmethod
    def of(cls, used_bytes: int, total_bytes: int) -> Usage:
        """Usage in bytes, converted."""
        percent = 100 * used_bytes / total_bytes if total_bytes else 0.0
        used_gb, total_gb = round(used_bytes / GIB, 2), round(total_bytes / GIB, 2)
        return cls(used_gb=used_gb, total_gb=total_gb, percent=round(percent, 1))


class GpuStatus(BaseModel):
    """The GPU used for inference."""

    name: str = Field(description=f'Its name, or "{_NO_GPU}"')
    utilization: int | None = Field(description="Percent; 0 without a GPU, null if the driver does not say")
    temperature: int | None = Field(description="Degrees Celsius; 0 without a GPU, null if the driver does not say")


class StatusResponse(SuccessResponse):
    """The worker's resources."""

    message: Message = "System status retrieved successfully"
    ram: Usage = Field(description="Main memory, within the limit of the container")
    vram: Usage = Field(description="Memory of the GPU, used by all processes; 0 without a GPU")
    gpu: GpuStatus = Field(description="The GPU that networks run on")
    disk_free_gb: float = Field(description="Free space on the disk of temporary files")
    disk_total_gb: float = Field(description="Size of that disk")
    running_jobs: int = Field(description="Other jobs that are running on this machine")
    device: str = Field(description="Device for inference, such as `cuda:0` or `cpu`")
    encoder: str = Field(description="Encoder of H.264: `x264` or `nvenc`")
    version: str = Field(description="Version of the worker")


@operation("GET", "/system/status", needs="process")
def system_status(_request: NoFields, ctx: Context) -> StatusResponse:
    """Get the worker's memory, GPU and disk use."""
    from framepack.files.workspace import count_running
    from framepack.models.memory.device import host_memory
    from framepack.models.memory.gpu_status import read_gpu

    total, free = host_memory()
    gpu = read_gpu(ctx.models.device)
    disk = shutil.disk_usage(ctx.settings.temp_dir)
    return StatusResponse(
        ram=Usage.of(total - free, total),
        vram=Usage.of(gpu.used_bytes, gpu.total_bytes) if gpu else Usage.of(0, 0),
        gpu=GpuStatus(
            name=gpu.name if gpu else _NO_GPU,
            utilization=gpu.utilization if gpu else 0,
            temperature=gpu.temperature if gpu else 0,
        ),
        disk_free_gb=round(disk.free / GIB, 2),
        disk_total_gb=round(disk.total / GIB, 2),
        running_jobs=count_running(ctx.settings.temp_dir) - 1,
        device=str(ctx.models.device.torch_device),
        encoder=ctx.encoders.report().encoder,
        version=__version__,
    )
