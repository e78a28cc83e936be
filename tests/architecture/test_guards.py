"""Every guard of the architecture finds a violation: each is planted in a copy of the tree, in modules that are new.

A guard that finds nothing here would be silent about the same mistake in a pull request.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.architecture import rules

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
PROGRAMS: Final = (BIN / "lint-imports", BIN / "ruff")


@dataclass(frozen=True)
class Plant:
    """A violation, and who must find it.

    Attributes:
        path: a file below `framepack`; the code is appended to it, and it may be new.
        code: the lines that break a rule.
        guard: an import contract, a rule of ruff, or a function of `rules.py`: nobody else may complain.
        finding: what the guard says of it.
    """

    path: str
    code: str
    guard: str
    finding: str

    @property
    def module(self) -> str:
        """The dotted name of the file."""
        return f"framepack.{self.path.removesuffix('.py').replace('/', '.')}"


def inside_a_function(statement: str) -> str:
    """A function that imports something only when it is called."""
    return f"\n\ndef planted() -> None:\n    {statement}\n"


def importing(path: str, target: str, contract: str, *, statement: str | None = None) -> Plant:
    """A planted function in ``path`` that imports a module, which breaks a contract about modules."""
    plant = Plant(path, inside_a_function(statement or f"import {target}"), contract, "")
    return Plant(path, plant.code, contract, f"{plant.module} -> {target}")


CLIENT: Final = "The client needs no more than its own libraries and the signatures of net"

IMPORTS: Final = [
    importing("environment.py", "framepack.files.removed", "Imports point down"),
    Plant("planted.py", "import json\n", "Imports point down", "framepack.planted"),
    importing("media/filters/planted.py", "framepack.media.audio.track", "Inside media, imports point down"),
    Plant("media/new_room/__init__.py", "", "Inside media, imports point down", "framepack.media.new_room"),
    importing("models/driver.py", "framepack.models.spec", "Inside models, imports point down"),
    Plant("models/planted.py", "", "Inside models, imports point down", "framepack.models.planted"),
    importing("outbox/schedule.py", "framepack.outbox.claims", "Inside outbox, imports point down"),
    Plant("outbox/planted.py", "", "Inside outbox, imports point down", "framepack.outbox.planted"),
    Plant(
        "storage/keys.py",
        inside_a_function("import framepack.storage.base"),
        "No folder has a circle in it",
        "No cycles are allowed in framepack.storage.",
    ),
    Plant(
        "media/audio/planted.py",
        inside_a_function("import framepack.media.audio.planted_too"),
        "No folder has a circle in it",
        "No cycles are allowed in framepack.media.audio.",
    ),
    importing(
        "operations/system/planted.py", "framepack.operations.postprocess.loop", "Operations do not import each other"
    ),
    importing("processing/planted.py", "torch", "Only models imports torch"),
    importing("api/names.py", "transformers", "Only models imports torch"),
    importing("job.py", "torchvision", "Only models imports torch", statement="from torchvision import io"),
    importing("api/workflow.py", "av", "Only media imports PyAV"),
    importing("models/upscale/planted.py", "av", "Only media imports PyAV"),
    importing("processing/planted_too.py", "av", "Only media imports PyAV", statement="from av import VideoFrame"),
    importing("jobs/planted.py", "fastapi", "Only rest imports FastAPI"),
    importing("dispatch.py", "starlette", "Only rest imports FastAPI", statement="from starlette.types import Scope"),
    importing("storage/planted.py", "boto3", "Only storage.s3 imports boto3"),
    importing("files/planted.py", "typer", "Only the command line imports its libraries"),
    importing("runtime.py", "runpod", "Only the entries import the RunPod SDK"),
    importing("models/weights/planted.py", "requests", "Only net makes HTTP requests"),
    importing("rest/planted.py", "numpy", "Web server and jobs import no NumPy, OpenCV or Pillow"),
    importing("client/planted.py", "framepack.settings", CLIENT),
]
"""What import-linter must find; most of it within functions, where nothing is imported at start."""

CIRCLE: Final = Plant("media/audio/planted_too.py", inside_a_function("import framepack.media.audio.planted"), "", "")
"""The other half of a planted circle."""

LINES: Final = [
    Plant("processing/environment_read.py", 'import os\n\nHOME = os.environ["HOME"]\n', "TID251", "os.environ"),
    Plant("new_room/environment_read.py", "from os import getenv\n", "TID251", "os.getenv"),
    Plant("models/environment_read.py", "from os import environ\n", "TID251", "os.environ"),
    Plant("storage/address_opened.py", "from urllib.request import urlopen\n", "TID251", "urllib.request"),
    Plant("processing/heavy_at_the_top.py", "import numpy as np\n", "TID253", "numpy"),
    Plant("new_room/heavy_at_the_top.py", "from requests import Session\n", "TID253", "requests"),
]
"""What ruff must find."""

OPERATION: Final = '''
import cv2

@operation("GET", "/system/planted")
def planted_operation(request: Request, context: Context) -> Response:
    """Lack a test."""
'''

RULES: Final = [
    Plant("processing/long_file.py", "X = 1\n" * (rules.FILE_LINES + 1), "long_files", "401 lines"),
    Plant(
        "processing/long_function.py",
        "async def planted() -> None:\n" + "    print()\n" * (rules.FUNCTION_LINES + 1),
        "long_functions",
        "planted has 46 lines",
    ),
    Plant("storage/status_code.py", "class Full(Exception):\n    status = 507\n", "status_codes_outside_errors", ""),
    Plant("operations/system/untested.py", OPERATION, "untested_operations", "write tests/operations/test_planted_"),
    Plant(
        "processing/class_name.py",
        'LABEL = "UpscaleTarget scale factor"\n',
        "class_names_in_public_texts",
        "UpscaleTarget is the name of a class",
    ),
]

EMPTY_TEST: Final = '''"""Asserts nothing."""


def test_planted() -> None:
    """Only call the operation."""
    run("planted_operation")
'''
"""What the functions of `rules.py` must find."""


def copy_of_the_tree(folder: Path) -> Path:
    """The package and what its guards read."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("framepack", "tests/operations"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "handler.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def plant(folder: Path, plants: list[Plant]) -> Path:
    """Put violations into a copy of the tree."""
    for each in plants:
        path = folder / "framepack" / each.path
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(each.code)
    return folder


def broken_contracts(root: Path) -> dict[str, str]:
    """Every broken contract of a tree, with what import-linter says of it."""
    command = [str(BIN / "lint-imports"), "--no-cache"]
    wide = {**os.environ, "COLUMNS": "1000", "NO_COLOR": "1"}
    output = subprocess.run(command, cwd=root, env=wide, capture_output=True, text=True, check=False).stdout
    assert "Contracts: " in output, output
    return dict(sections(output.partition("Broken contracts\n")[2]))


def sections(report: str) -> Iterator[tuple[str, str]]:
    """Titles that are underlined, each with the text below it."""
    parts = re.split(r"^(.+)\n-+\n", report, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)


def ruff_findings(root: Path) -> list[tuple[str, str, str]]:
    """File, rule and message of each finding about imports and the environment."""
    command = [
        str(BIN / "ruff"),
        "check",
        "--no-cache",
        "--select=TID251,TID253",
        "--output-format=json",
        "framepack",
    ]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
    return [(each["filename"], each["code"], each["message"]) for each in json.loads(output)]


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    """The guards are those of this environment."""
    assert all(path.is_file() for path in PROGRAMS)


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What import-linter says of a tree with all forbidden imports."""
    root = copy_of_the_tree(tmp_path_factory.mktemp("imports"))
    assert broken_contracts(root) == {}
    return broken_contracts(plant(root, [*IMPORTS, CIRCLE]))


@pytest.mark.parametrize("violation", IMPORTS, ids=lambda each: each.finding)
def test_a_forbidden_import_breaks_its_contract_and_no_other(violation: Plant, contracts: dict[str, str]) -> None:
    """The module, which is new in most cases, is named in one broken contract."""
    line = re.compile(rf"(^|- +){re.escape(violation.finding)}( \(l\.\d+\))?$", re.MULTILINE)

    assert [name for name, text in contracts.items() if line.search(text)] == [violation.guard]


def test_every_contract_has_a_planted_violation(contracts: dict[str, str]) -> None:
    """A contract that is added gets a plant here; nothing that was not planted is found."""
    named = re.findall(r'\[\[tool\.importlinter\.contracts\]\]\nname = "(.*)"', (ROOT / "pyproject.toml").read_text())
    found = sum(len(re.findall(r"^ *- +framepack\.|^No cycles", text, re.MULTILINE)) for text in contracts.values())

    assert sorted(contracts) == sorted(named)
    assert found == len(IMPORTS)


def test_a_circle_across_folders_breaks_the_order_and_the_circle_contract(tmp_path: Path) -> None:
    """A clip that imports its writer is an import upward, which also closes a circle."""
    circle = importing("media/clip.py", "framepack.media.write.writer", "Inside media, imports point down")

    found = broken_contracts(plant(copy_of_the_tree(tmp_path), [circle]))

    assert set(found) == {circle.guard, "No folder has a circle in it"}
    assert circle.finding in found[circle.guard]
    assert ".clip -> .write" in found["No folder has a circle in it"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """What ruff says of a tree that reads the environment and imports heavy packages at the top of modules."""
    root = copy_of_the_tree(tmp_path_factory.mktemp("lines"))
    assert ruff_findings(root) == []
    return ruff_findings(plant(root, LINES))


@pytest.mark.parametrize("violation", LINES, ids=lambda each: f"{each.path}: {each.finding}")
def test_a_forbidden_line_breaks_its_rule_and_no_other(violation: Plant, lines: list[tuple[str, str, str]]) -> None:
    """Also in a folder that no configuration names."""
    found = [(code, message) for file, code, message in lines if file.endswith(f"framepack/{violation.path}")]

    assert {code for code, _ in found} == {violation.guard}
    assert all(f"`{violation.finding}`" in message for _, message in found)


@pytest.fixture(scope="module")
def small_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that breaks the rules of `rules.py`."""
    tree = plant(copy_of_the_tree(tmp_path_factory.mktemp("rules")), RULES)
    (tree / "tests" / "operations" / "test_planted.py").write_text(EMPTY_TEST, encoding="utf-8")
    return tree


@pytest.mark.parametrize("violation", RULES, ids=lambda each: each.guard)
def test_a_broken_rule_is_found_once(violation: Plant, small_rules: Path) -> None:
    """The check that the suite runs on the real tree names the planted violation and nothing else."""
    (finding,) = getattr(rules, violation.guard)(small_rules)

    assert violation.finding in finding
    assert "untested" in violation.path or f"framepack/{violation.path}" in finding


def test_an_operation_that_imports_a_heavy_package_is_found_by_the_cold_start(small_rules: Path) -> None:
    """The planted operation imports OpenCV at its top, so discovering all operations loads it."""
    top = small_rules / "framepack" / "operations" / "system" / "untested.py"
    top.write_text("import cv2\n", encoding="utf-8")

    assert "cv2" in rules.loaded_by_a_cold_start(small_rules)
