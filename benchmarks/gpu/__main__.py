"""What a GPU does with the networks and with whole jobs, in ten minutes: see README.md in this folder.

    python -m benchmarks.gpu [PART ...] [--folder build/gpu]

Each part prints a row as soon as it is measured, and goes on to the next one if it fails. On a CPU the images are
small: such a run shows that every part works.
"""

from __future__ import annotations

import argparse
import logging
import platform
import sys
from pathlib import Path

import torch

from benchmarks.gpu import encoders, jobs, limits, networks
from benchmarks.gpu.measuring import Bench
from framepack.models.memory.device import Device

PARTS = {
    part.__name__: part
    for part in (
        networks.ceilings,
        networks.kernels,
        networks.upscalers,
        networks.interpolation,
        networks.faces,
        limits.out_of_memory,
        limits.large_tensors,
        jobs.first_job,
        encoders.encoders,
        jobs.upscaling_jobs,
        jobs.upscaling_peer,
        jobs.interpolation_peer,
        networks.profiles,
    )
}
"""In this order: what tells most comes first."""


def main() -> int:
    """Run parts; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; none: all of them")
    parser.add_argument("--folder", type=Path, default=Path("build/gpu"))
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # which fast paths are used, and why not
    options.folder.mkdir(parents=True, exist_ok=True)
    device = Device.find()
    bench = Bench(device, options.folder)
    name = torch.cuda.get_device_name(device.torch_device) if device.is_cuda else platform.processor() or "CPU"
    bench.add("machine", device=name, torch=torch.__version__, python=platform.python_version())
    has_failed = False
    for part in options.parts or PARTS:
        try:
            PARTS[part](bench)
        except Exception as error:  # noqa: BLE001 - the other parts are measured all the same
            has_failed = True
            bench.add("failures", name=part, error=f"{type(error).__name__}: {error}"[:300])
        bench.device.release()
    print(f"tables: {bench.write_tables()}")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
