"""The Dockerfile and the scripts that it copies."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.healthcheck import port_of
from builder.trim_packages import size_bytes, superfluous
from framepack import __version__

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SHELL_SCRIPTS = sorted([*(ROOT / "builder").glob("*.sh"), *(ROOT / "tools").glob("*.sh")])


def stages() -> dict[str, list[str]]:
    """The instructions of each stage, by its name."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()
    found: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line.startswith("FROM "):
            name = line.partition(" AS ")[2]
        if line:
            found.setdefault(name, []).append(line)
    return found


def copied(instructions: list[str]) -> Iterator[str]:
    """What is copied out of the build context."""
    for line in instructions:
        words = line.split()
        if words[0] == "COPY" and not any(word.startswith("--from") for word in words):
            yield from (word for word in words[1:-1] if not word.startswith(("--", "$")))


def test_the_base_is_an_exact_version_of_a_tested_python() -> None:
    """The tag has a patch release and a Debian release."""
    found = re.search(r"^ARG BASE=python:(\d\.\d+)\.\d+-slim-[a-z]+$", DOCKERFILE, re.MULTILINE)

    assert found is not None
    assert f'"Programming Language :: Python :: {found[1]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_weights_stage_copies_only_the_script_and_its_table() -> None:
    """So a change of the code does not fetch them again."""
    assert set(copied(stages()["weights"])) == {"builder/fetch_weights.py", "builder/weights.json"}


def test_every_copied_file_exists_and_is_not_in_dockerignore() -> None:
    """And .dockerignore admits nothing else."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line.removeprefix("!") for line in lines if line.startswith("!")]
    needed = {name for instructions in stages().values() for name in copied(instructions)}

    assert "*" in lines
    for name in needed:
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in let_through), name
    for pattern in let_through:
        assert pattern.startswith("weights/") or any(fnmatch.fnmatch(name, pattern) for name in needed), pattern


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_well_formed(script: Path) -> None:
    """The shell can parse them, and shellcheck, if installed, finds nothing."""
    subprocess.run(["sh", "-n", script], check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
        assert done.stdout == ""


def test_the_entry_script_runs_the_command_and_keeps_a_set_store(tmp_path: Path) -> None:
    """It replaces itself with the command, keeping arguments, environment and process id."""
    environment = {**os.environ, "FRAMEPACK_STORAGE": "s3://bucket/prefix"}
    shown = 'echo "$FRAMEPACK_STORAGE|$1|$$"; exit 7'

    with subprocess.Popen(
        [ROOT / "builder" / "entrypoint.sh", "sh", "-c", shown, "sh", "two words"],
        env=environment, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        output = process.communicate(timeout=30)[0]

    assert output == f"s3://bucket/prefix|two words|{process.pid}\n"
    assert process.returncode == 7


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user may enter, as the entry script may change its user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("has_gpu", "has_volume", "chosen", "expected"),
    [
        (True, True, "", "{volume}/kernels"),
        (True, True, "/elsewhere", "/elsewhere"),
        (False, True, "", ""),
        (True, False, "", ""),
    ],
)
def test_compiled_kernels_are_kept_on_a_network_volume(
    shared_folder: Path, *, has_gpu: bool, has_volume: bool, chosen: str, expected: str
) -> None:
    """With a GPU, if nobody has chosen a folder; the worker can write there."""
    volume, gpu, tools = (shared_folder / name for name in ("volume", "gpu", "tools"))
    volume.mkdir()
    tools.mkdir()
    if has_gpu:
        gpu.touch()
    (tools / "mountpoint").write_text(f"#!/bin/sh\nexit {int(not has_volume)}\n")
    (tools / "mountpoint").chmod(0o755)
    script = (ROOT / "builder" / "entrypoint.sh").read_text()
    script = script.replace("=/runpod-volume\n", f"={volume}\n").replace("=/dev/nvidiactl\n", f"={gpu}\n")
    (shared_folder / "entrypoint.sh").write_text(script)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "FRAMEPACK_STORAGE": "s3://bucket/prefix"}
    shown = 'echo "${TRITON_CACHE_DIR-}"; [ -z "${TRITON_CACHE_DIR-}" ] || touch "$TRITON_CACHE_DIR/made" || :'
    done = subprocess.run(
        ["sh", shared_folder / "entrypoint.sh", "sh", "-c", shown],
        env={**environment, **({"TRITON_CACHE_DIR": chosen} if chosen else {})},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip

    assert done.stdout == f"{expected.format(volume=volume)}\n"
    assert [path.relative_to(volume) for path in volume.rglob("*")] == (
        [Path("kernels"), Path("kernels/made")] if "volume" in expected else []
    )


@pytest.mark.parametrize(
    ("engines", "begin"),
    [
        (("docker", "buildah"), "docker build "),
        (("no docker", "buildah"), "buildah bud --layers --format docker "),
        (("buildah",), "buildah bud --layers --format docker "),
    ],
)
def test_make_image_uses_docker_or_else_buildah(tmp_path: Path, engines: tuple[str, ...], begin: str) -> None:
    """Docker is used if its engine runs. Variables of the command line become build arguments."""
    chosen = {"TAG": "mine:1", "WEIGHTS": "all", "WEIGHTS_FROM": "weights", "BASE": "python:3.14.0-slim-trixie"}

    done = build_image(tmp_path, engines, **chosen)

    assert done.returncode == 0
    assert done.stdout.startswith(f"{begin}--platform linux/amd64 --build-arg VERSION={__version__} --tag mine:1 ")
    for name in ("BASE", "WEIGHTS", "WEIGHTS_FROM"):
        assert f" --build-arg {name}={chosen[name]} " in done.stdout


def test_make_image_without_an_engine_fails_with_a_remedy(tmp_path: Path) -> None:
    """It is one sentence."""
    done = build_image(tmp_path, ("no docker",))

    assert done.returncode == 1
    assert done.stderr == "image: needs a running Docker engine, or buildah (apt-get install buildah).\n"


def build_image(folder: Path, engines: tuple[str, ...], **chosen: str) -> subprocess.CompletedProcess[str]:
    """Run the script of `make image` where these engines are; each prints its arguments."""
    for name in ("sh", "sed", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for engine in engines:
        works = not engine.startswith("no ")
        program = folder / engine.removeprefix("no ")
        program.write_text(f'#!/bin/sh\n[ "$1" = info ] || echo {program.name} "$@"\nexit {int(not works)}\n')
        program.chmod(0o755)
    script = ROOT / "builder" / "image.sh"
    environment = {"PATH": str(folder), **chosen}
    return subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("tini -- entrypoint.sh python -u handler.py", None),
        ("tini -- entrypoint.sh python -m framepack serve", 8000),
        ("tini -- entrypoint.sh python -m framepack serve --host 0.0.0.0 --port 80", 80),
        ("docker-init -- tini -- entrypoint.sh python -m framepack serve --port=8081", 8081),
    ],
)
def test_the_health_check_uses_the_port_of_the_command(command: str, port: int | None) -> None:
    """A handler has no port."""
    assert port_of(command.split()) == port


def test_trimming_removes_only_files_for_compiling_and_testing(tmp_path: Path) -> None:
    """Code, shared libraries and Triton's headers stay."""
    gone = ["nvidia/cu13/lib/libx.a", "torch/include/torch/x.h", "numpy/_core/tests/test_x.py", "sympy/a/tests/x.py"]
    gone += ["triton/backends/nvidia/lib/cupti/libcupti_static.a"]
    kept = [
        "nvidia/cu13/lib/libx.so.1",
        "torch/testing/x.py",
        "triton/backends/nvidia/include/cuda.h",
        "pkg/tests.py",
    ]
    kept += ["other/include/needed.py"]
    for name in (*gone, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345678")

    found = list(superfluous(tmp_path))

    assert sum(map(size_bytes, found)) == 8 * len(gone)
    assert all(any((tmp_path / name).is_relative_to(path) for path in found) for name in gone)
    assert not any((tmp_path / name).is_relative_to(path) for name in kept for path in found)
