"""Builds the image without a Docker engine, for `make image-test`. Needs root.

Debian's buildah builds it on a base that debootstrap makes, instead of the official one.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.image_container import Container, Failed

ROOT: Final = Path(__file__).parents[1]
BASE: Final = "localhost/framepack-test-base"
IMAGE: Final = "localhost/framepack-test"
_BASE_ENV: Final = ("PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "LANG=C.UTF-8")


@dataclass(frozen=True)
class Layer:
    """A layer of the image: the instruction that made it, and its size."""

    made_by: str
    size_bytes: int


@dataclass(frozen=True)
class Builder:
    """Runs buildah with its storage below ``work``."""

    work: Path

    def buildah(self, *arguments: str, quiet: bool = True, folder: Path | None = None) -> str:
        """Run buildah and return its output.

        Raises:
            Failed: it failed. The end of its output is in the message, unless it is shown on the terminal.
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
        """The storage driver: ``overlay`` if the kernel allows it; with ``vfs`` every layer is a whole copy."""
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
        """Make an image like the official one, such as ``python:3.13.16-slim-trixie``, unless it exists.

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
        # Like in the official images, apt keeps no caches of its lists.
        clean = 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
        Path(root, "etc/apt/apt.conf.d/docker-clean").write_text(clean)
        self.buildah("config", *(f"--env={each}" for each in _BASE_ENV), container)
        self.buildah("commit", "--rm", "--quiet", container, BASE)

    def build(self, arguments: Mapping[str, str], given: Path | None) -> None:
        """Build the Dockerfile from the checkout, with the package sources of this machine.

        Args:
            arguments: build arguments beside BASE.
            given: a folder of weights files, copied into the build context as ``weights``.
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
        """Mounts with this machine's package sources for the build. None of them stays in the image."""
        yield "/etc/ssl/certs:/etc/ssl/certs:ro"
        settings = _pip_settings()
        configuration = self.work / "pip.conf"
        configuration.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        yield f"{configuration}:/etc/pip.conf:ro"
        words = {word for value in settings.values() for word in value.split()}
        folders = {Path(word) for word in words if word.startswith("/")}
        folders |= {Path(word.removeprefix("file://")).parent for word in words if word.startswith("file:///")}
        for folder in sorted(folders):  # an index may link to files beside it
            if folder.is_dir():
                yield f"{folder}:{folder}:ro"

    def layers(self) -> list[Layer]:
        """The layers of the image, from the base upwards."""
        image = json.loads(self.buildah("inspect", "--type", "image", IMAGE))
        made = [each["created_by"] for each in image["Docker"]["history"] if not each.get("empty_layer")]
        sizes = _sizes(self.work / "storage", self._driver(), image["FromImageID"])
        return [Layer(_words(words), size) for words, size in zip(made, sizes, strict=True)]

    @contextmanager
    def container(self) -> Iterator[Container]:
        """A container of the image that has not been started. It is removed when the block ends."""
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


def official_base() -> str:
    """The base image in the Dockerfile."""
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
    """The mirror of this machine's apt; empty if it is not Debian, so that debootstrap uses its default."""
    if shutil.which("apt-get") is None:
        return []
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"], check=False, capture_output=True, text=True
    ).stdout
    mirrors = [line.removeprefix("Debian ") for line in listed.splitlines() if line.startswith("Debian ")]
    return [each for each in mirrors if "security" not in each][:1]


def _pip_settings() -> dict[str, str]:
    """The configuration of pip on this machine, from files and environment variables."""
    listed = _run(sys.executable, "-m", "pip", "config", "list")
    settings: dict[str, str] = {}
    for line in sorted(
        listed.splitlines(), key=lambda line: line.startswith(":env:")
    ):  # environment variables come last and win
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = " ".join(str(ast.literal_eval(value)).split())
    return settings


def _export(to: Path) -> None:
    """Copy the files of the checkout that git does not ignore."""
    shutil.rmtree(to, ignore_errors=True)
    listed = _run("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def _sizes(storage: Path, driver: str, image: str) -> list[int]:
    """The sizes of an image's layers in bytes, from the base upwards, as recorded by the storage."""
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
    """The instruction that made a layer, shortened."""
    words = re.sub(r"^(\|\d+ .*? )?/bin/sh( -c (#\(nop\) )?)?", "", made_by)
    words = re.sub(r"\b(dir|file|multi):[0-9a-f]+ in ", "-> ", words)
    return re.sub(r"\s+", " ", words)[:70] or "base"


def work_folder() -> Path:
    """Make a folder for all files, on a disk because /tmp may be in memory."""
    return Path(tempfile.mkdtemp(prefix="framepack-image-", dir="/var/tmp"))
