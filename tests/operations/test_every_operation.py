"""What holds for every operation: a test runs it, and its documentation says what each field means."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from framepack.registry import AnyOperation, discover

FOLDER = Path(__file__).parent
EVERY_OPERATION = pytest.mark.parametrize("operation", list(discover()), ids=lambda operation: operation.name)


def called() -> set[str]:
    """The texts that calls in this folder's tests have among their first two arguments: ``run("upscale", ...)``."""
    calls = [node for path in FOLDER.glob("test_*.py") for node in ast.walk(ast.parse(path.read_text()))]
    arguments = [argument for node in calls if isinstance(node, ast.Call) for argument in node.args[:2]]
    return {each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)}


CALLED = called()


@EVERY_OPERATION
def test_a_test_runs_it(operation: AnyOperation) -> None:
    """A test in this folder calls it, by its name or its route."""
    assert {operation.name, operation.path} & CALLED, (
        f"nothing tests {operation.name}: write tests/operations/test_{operation.name}.py, which calls "
        f'run("{operation.name}", ...) on a bench of tests/support/runs.py'
    )


@EVERY_OPERATION
def test_its_fields_are_described(operation: AnyOperation) -> None:
    """Each field of its request has a description, which becomes its documentation."""
    for name, field in operation.request.model_fields.items():
        assert field.description, (
            f"{name} of {operation.request.__name__} needs a description: Field(description=...)"
        )
