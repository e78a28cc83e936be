"""Rules that ruff and import-linter cannot state. Each takes the root of a checkout and returns the violations."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILE_LINES: Final = 400
"""The most lines of a file of the package."""
FUNCTION_LINES: Final = 45
"""The most lines of a function of the package, its docstring aside."""


def sources(root: Path) -> list[Path]:
    """Every Python file of the package."""
    return sorted((root / "framepack").rglob("*.py"))


def long_files(root: Path) -> list[str]:
    """Files with more lines than allowed."""
    counts = {path: path.read_text(encoding="utf-8").count("\n") for path in sources(root)}
    return [f"{path.relative_to(root)}: {lines} lines" for path, lines in counts.items() if lines > FILE_LINES]


def long_functions(root: Path) -> list[str]:
    """Functions with more lines than allowed, their docstrings aside."""
    return [
        f"{path.relative_to(root)}: {function.name} has {lines} lines"
        for path in sources(root)
        for function in functions(path)
        if (lines := _body_lines(function)) > FUNCTION_LINES
    ]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    after_docstring = 1 if ast.get_docstring(function) and len(function.body) > 1 else 0
    return (function.end_lineno or 0) - function.body[after_docstring].lineno + 1


def status_codes_outside_errors(root: Path) -> list[str]:
    """Modules other than ``errors.py`` that give an error a status or a code."""
    assignment = re.compile(r"^\s+(status|code) = [\d\"']", re.MULTILINE)
    return [
        str(path.relative_to(root))
        for path in sources(root)
        if path.name != "errors.py" and assignment.search(path.read_text(encoding="utf-8"))
    ]


def untested_operations(root: Path) -> list[str]:
    """Operations that no test in ``tests/operations`` runs, by name or route, with the file to write."""
    run = called_with(root / "tests" / "operations")
    return [
        f"nothing tests {name}: write tests/operations/test_{name}.py, which calls "
        f'run("{name}", ...) on a bench of tests/support/runs.py'
        for name, route in declared_operations(root)
        if not {name, route} & run
    ]


def called_with(folder: Path) -> set[str]:
    """The texts among the first two arguments of calls in a folder's tests: ``upscale`` in ``run("upscale")``."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("test_*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    arguments = [argument for call in calls for argument in call.args[:2]]
    return {each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def declared_operations(root: Path) -> Iterator[tuple[str, str]]:
    """Name and route of every function below ``@operation(method, route)``, read without importing anything."""
    for path in sorted((root / "framepack" / "operations").rglob("*.py")):
        for function in functions(path):
            for decorator in function.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "operation":
                    yield function.name, str(ast.literal_eval(decorator.args[1]))


def heavy_packages(root: Path) -> set[str]:
    """The packages that pyproject.toml bans from the top of a module."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"])


def loaded_by_a_cold_start(root: Path) -> set[str]:
    """Heavy packages that importing the handler and discovering all operations loads."""
    code = "import sys, handler; from framepack.registry import discover; discover(); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return heavy_packages(root) & set(loaded.split())
