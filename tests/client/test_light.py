"""The client needs HTTPX and pydantic, and nothing that the server or the worker needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture import rules
from tests.support.control_plane import ROOT

ABSENT = """
import sys

class Absent:  # as in an environment that has only these packages
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Absent())
"""
USED = """
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
    command = [sys.executable, "-c", ABSENT + USED, ",".join(sorted(absent - {"rich"}))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    own = {name.split(".")[1] for name in done.stdout.split() if name.startswith("framepack.")}
    assert own == {"client", "net", "setting_checks", "filenames"}


@pytest.mark.parametrize("command", ["operations", "serve", "run"])
def test_the_command_says_in_one_sentence_which_package_it_lacks(command: str) -> None:
    """Where only the client is installed."""
    code = f"{ABSENT}\nfrom framepack.cli import main\nmain()"
    arguments = ["typer,rich,av,torch,numpy", command]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "framepack: The Python package 'typer' is not installed. Only framepack.client works without the packages of "
        "the worker; `pip install framepack-worker` installs them.\n"
    )
