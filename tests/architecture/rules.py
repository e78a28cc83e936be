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
NAMES_OF_OTHERS: Final = {"YuNet"}
"""Classes that are named after something that users know."""
_SCOPES: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def sources(root: Path) -> list[Path]:
    """Every Python file of the package."""
    return sorted((root / "framepack").rglob("*.py"))


def long_files(root: Path) -> list[str]:
    """Files with more lines than allowed, generated ones aside."""
    counts = {path: path.read_text(encoding="utf-8").count("\n") for path in sources(root)}
    generated = root / "framepack" / "client" / "generated"
    return [
        f"{path.relative_to(root)}: {lines} lines"
        for path, lines in counts.items()
        if lines > FILE_LINES and path.parent != generated
    ]


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
    """Operations that no test in ``tests/operations`` runs and checks, by name or route, with the file to write."""
    run = called_with(root / "tests" / "operations")
    return [
        f"nothing tests {name}: write tests/operations/test_{name}.py, which calls "
        f'run("{name}", ...) on a bench of tests/support/runs.py, and asserts something of the answer'
        for name, route in declared_operations(root)
        if not {name, route} & run
    ]


def called_with(folder: Path) -> set[str]:
    """The texts among the first two arguments of calls in a folder's tests: ``upscale`` in ``run("upscale")``.

    Test functions that assert nothing are left out.
    """
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("test_*.py")]
    parts = [part for tree in trees for part in tree.body if not _asserts_nothing(part)]
    calls = [node for part in parts for node in ast.walk(part) if isinstance(node, ast.Call)]
    arguments = [argument for call in calls for argument in call.args[:2]]
    return {each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def _asserts_nothing(part: ast.stmt) -> bool:
    """Whether a statement is a test function without ``assert`` and without ``pytest.raises``."""
    if not (isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name.startswith("test_")):
        return False
    nodes = list(ast.walk(part))
    raises = any(isinstance(node, ast.Attribute) and node.attr == "raises" for node in nodes)
    return not raises and not any(isinstance(node, ast.Assert) for node in nodes)


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


def class_names_in_public_texts(root: Path) -> list[str]:
    """Texts for users that name a class of the package, as a careless rename leaves them.

    These are all texts with spaces, such as descriptions and messages, and the docstrings that become documentation.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources(root)}
    classes = {node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    compound = sorted(name for name in classes - NAMES_OF_OTHERS if re.fullmatch(r"_?[A-Z][a-z0-9]+[A-Z]\w*", name))
    named = re.compile(rf"(?<![\w.`])({'|'.join(compound)})\b")
    return [
        f"{path.relative_to(root)}:{line}: {found.group()} is the name of a class: say it in words"
        for path, tree in trees.items()
        for line, text in _public_texts(tree, path.relative_to(root / "framepack"))
        if (found := named.search(text))
    ]


def _public_texts(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of everything in a module that users may read."""
    internal: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, _SCOPES) and not _is_documentation(node, path):
            internal |= {id(each.value) for each in node.body if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in internal:
            continue
        if isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def _is_documentation(node: ast.AST, path: Path) -> bool:
    """Whether the docstring is shown to users: that of an operation, an effect, a request, an answer or an error."""
    if isinstance(node, ast.FunctionDef):
        decorators = [each.func for each in node.decorator_list if isinstance(each, ast.Call)]
        return any(ast.unparse(each) in {"operation", "effect"} for each in decorators)
    return isinstance(node, ast.ClassDef) and (path.parts[0] in {"operations", "api"} or path.name == "errors.py")
