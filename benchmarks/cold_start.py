"""Start-up: how long importing the handler and the RunPod SDK takes, with and without the SDK's processor survey.

    python -m benchmarks.cold_start

Each figure is the median of fresh processes, taken in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 7
SIDES = {
    "import handler": "import handler",
    "import runpod, as it is": "import runpod",
    "import runpod, survey skipped": (
        "import sys, types; m = types.ModuleType('cpuinfo'); m.get_cpu_info = lambda: {'brand_raw': ''}; "
        "sys.modules['cpuinfo'] = m; import runpod"
    ),
}
TIMED = "import time; begin = time.perf_counter(); {code}; print(time.perf_counter() - begin)"


def main() -> None:
    """Measure and print."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(ROUNDS):
        for name, code in SIDES.items():
            command = [sys.executable, "-c", TIMED.format(code=code)]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds[name].append(float(result.stdout.split()[-1]))
    for name, values in seconds.items():
        print(f"{name:32} {statistics.median(values):.2f} s (fastest {min(values):.2f} s)")


if __name__ == "__main__":
    main()
