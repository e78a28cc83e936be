"""The project keeps the rules that no linter knows; `test_guards.py` shows that each check finds a violation."""

import json
import re
from pathlib import Path

from framepack.errors import published
from framepack.registry import discover
from tests.architecture import rules
from tools.docs import pages

ROOT = Path(__file__).parents[2]
PROJECT = [
    path
    for pattern in ("**/*.py", "**/*.md", "**/*.txt", "**/*.toml", "**/*.json", "**/*.sh", "Makefile", "Dockerfile")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") and part != ".runpod" for part in path.relative_to(ROOT).parts)
    and path.relative_to(ROOT).parts[0] not in {"build", "dist", "outputs", "weights"}
]


def test_files_have_at_most_400_lines() -> None:
    """Longer ones are two things."""
    assert rules.long_files(ROOT) == []


def test_functions_have_at_most_45_lines() -> None:
    """Docstrings do not count."""
    assert rules.long_functions(ROOT) == []


def test_the_limits_in_the_texts_are_the_limits_of_the_tests() -> None:
    """CONTRIBUTING.md and the page on architecture give the numbers that are checked."""
    expected = f"Files up to {rules.FILE_LINES} lines, functions up to {rules.FUNCTION_LINES}"

    for page in ("CONTRIBUTING.md", "docs/architecture.md"):
        assert expected.casefold() in (ROOT / page).read_text(encoding="utf-8").casefold(), page


def test_every_operation_has_a_test() -> None:
    """The message names the file to write."""
    assert len(list(rules.declared_operations(ROOT))) == len(list(discover()))
    assert rules.untested_operations(ROOT) == []


def test_public_texts_name_no_class() -> None:
    """Descriptions, messages and documentation are in words that users know."""
    assert rules.class_names_in_public_texts(ROOT) == []


def test_a_cold_start_loads_nothing_heavy() -> None:
    """Importing the handler and discovering all operations loads none of the heavy packages."""
    assert rules.loaded_by_a_cold_start(ROOT) == set()


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


def test_status_codes_are_assigned_in_errors_only() -> None:
    """No other module gives an error a status or a code."""
    assert rules.status_codes_outside_errors(ROOT) == []


def test_no_registry_is_named() -> None:
    """No file carries the address of a package registry."""
    registries = re.compile(
        r"pypi\.org|pythonhosted|registry\.npmjs|download\.pytorch|--(extra-)?index-url|find-links"
    )
    named = [str(path) for path in PROJECT if path != Path(__file__) and registries.search(path.read_text())]

    assert named == []
