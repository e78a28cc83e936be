"""Compiles the kernels of ESRGAN's trunk for a GPU that is not there, and prints what would have been launched.

    TRITON_CACHE_DIR=FOLDER python -m tests.support.stub_gpu_driver COMPUTE_CAPABILITY BYTES_OF_SHARED_MEMORY

Triton compiles for any GPU on any machine; only its driver needs the GPU, and a stub replaces that.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import torch
import triton
from torch import nn
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import CudaDriver

from framepack.models.networks.fused_trunk import FusedTrunk
from framepack.models.upscale.fused import TILINGS

SIZES = ((1, 64, 64, 96), (2, 64, 37, 53), (1, 64, 2, 2), (1, 64, 1, 1))


class StubDriver(CudaDriver):  # type: ignore[misc]
    """A GPU that takes everything and does nothing.

    Args:
        capability: Its compute capability, such as 90.
        shared_bytes: Shared memory that a block may have.
    """

    def __init__(self, capability: int, shared_bytes: int) -> None:
        self.loaded: list[dict[str, Any]] = []
        self.programs: list[int] = []
        self.launcher_cls = lambda *_: lambda programs, *_: self.programs.append(programs)
        self.utils = SimpleNamespace(
            get_device_properties=lambda _: {"max_shared_mem": shared_bytes},
            load_binary=self._load,
            unload_module=lambda _: None,
        )
        self.get_current_device = lambda: 0
        self.get_current_stream = lambda _: 0
        self.get_current_target = lambda: GPUTarget("cuda", capability, 32)

    def _load(self, _name: str, binary: bytes, shared: int, _device: int) -> tuple[object, object, int, int, int]:
        self.loaded.append({"bytes": len(binary), "shared": shared})
        return object(), object(), 0, 0, 1024


def main() -> None:
    """Compute a block at several sizes with each tiling."""
    driver = StubDriver(int(sys.argv[1]), int(sys.argv[2]))
    triton.runtime.driver.set_active(driver)
    layers = [nn.Conv2d(64 + 32 * index, 64 if index == 4 else 32, 3).half() for index in range(5)]
    trunk = FusedTrunk([[layers] * 3], nn.Conv2d(64, 64, 3).half(), slope=0.2, residual_scale=0.2, tiling=TILINGS[0])
    with torch.inference_mode():
        for tiling in TILINGS:
            trunk.tiling = tiling
            for size in SIZES:
                trunk(torch.zeros(size, dtype=torch.float16))
    sys.stdout.write(json.dumps({"loaded": driver.loaded, "programs": driver.programs}))


if __name__ == "__main__":
    main()
