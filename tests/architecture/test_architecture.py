"""The rules of the house that no linter knows."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from framepack.errors import published
from framepack.registry import discover
from tools.docs import pages

ROOT = Path(__file__).parents[2]
SOURCES = [path for path in (ROOT / "framepack").rglob("*.py") if "nets" not in path.parts]
PROJECT = [
    path
    for pattern in ("**/*.py", "**/*.md", "**/*.txt", "**/*.toml", "**/*.json", "**/*.sh", "Makefile", "Dockerfile")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") and part != ".runpod" for part in path.relative_to(ROOT).parts)
    and path.relative_to(ROOT).parts[0] not in {"build", "dist", "outputs", "weights"}
]
HEAVY = {
    "torch",
    "torchvision",
    "av",
    "numpy",
    "boto3",
    "botocore",
    "transformers",
    "fastapi",
    "cv2",
    "PIL",
    "requests",
    "rich",
    "typer",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has at most 300 lines and a function at most 45, its docstring aside."""
    text = path.read_text()
    assert text.count("\n") <= 300

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            assert lines <= 45, f"{node.name} has {lines} lines"


def test_a_cold_start_loads_nothing_heavy() -> None:
    """Importing the handler and discovering all operations loads none of the heavy packages."""
    code = "import sys, handler; from framepack.registry import discover; discover(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert HEAVY & set(result.stdout.split()) == set()


def test_generated_documentation_is_fresh() -> None:
    """What `python -m tools.docs` would write is what stands there."""
    for path, text in pages(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run `make docs`"


def test_the_example_job_is_valid() -> None:
    """test_input.json is a job that its operation accepts."""
    job = json.loads((ROOT / "test_input.json").read_text())
    fields = job["input"]
    operation = discover().find(fields.pop("endpoint"))

    assert operation.request.parse(fields)


def test_every_error_has_a_code_of_its_own() -> None:
    """One table of codes, and each code means one thing with one status."""
    errors = published()
    codes = [error.code for error in errors]

    assert len(codes) == len(set(codes)) > 10
    assert {error.status for error in errors} <= {400, 401, 404, 405, 409, 413, 416, 429, 500, 502, 503, 504, 507}


def test_status_codes_live_in_one_place() -> None:
    """No other module assigns a status or a code to an error."""
    for path in SOURCES:
        if path.name != "errors.py":
            assert not re.search(r"^\s+(status|code) = [\d\"']", path.read_text(), re.MULTILINE), path.name


def test_no_registry_is_named() -> None:
    """No file carries the address of a package registry."""
    registries = re.compile(
        r"pypi\.org|pythonhosted|registry\.npmjs|download\.pytorch|--(extra-)?index-url|find-links"
    )
    named = [str(path) for path in PROJECT if path != Path(__file__) and registries.search(path.read_text())]

    assert named == []
