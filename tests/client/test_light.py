"""The client needs HTTPX and pydantic, and nothing that the server or the worker needs."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture import rules
from tests.support.control_plane import ROOT

USED = """
import sys

class Absent:  # as in an environment that has only these packages
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in set(sys.argv[1].split(",")):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from framepack.client import Client, verify_webhook
Client("http://127.0.0.1:9").close()
print(*sys.modules)
"""


def test_the_client_imports_nothing_heavy() -> None:
    """It works where none of the heavy packages is installed, and loads only what it needs of ours."""
    absent = rules.heavy_packages(ROOT) | {
        "pydantic_settings",
        "uvicorn",
        "starlette",
        "prometheus_client",
        "aiohttp",
    }
    command = [sys.executable, "-c", USED, ",".join(sorted(absent - {"rich"}))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    own = {name.split(".")[1] for name in done.stdout.split() if name.startswith("framepack.")}
    assert own == {"client", "net", "setting_checks", "filenames"}
