"""The map of the code for ``docs/architecture.md``: every package and module, and the order of imports."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path


def map_of_packages(root: Path) -> str:
    """One row per package: its folder, the first line of its docstring, and its modules."""
    rows = [
        f"| `{folder.relative_to(root / 'framepack').as_posix()}/` | {_first_line(folder / '__init__.py')} "
        f"| {', '.join(f'`{name}`' for name in modules)} |"
        for folder, modules in _packages(root)
        if folder != root / "framepack"
    ]
    return "\n".join(["| folder | what is in it | modules |", "|---|---|---|", *rows])


def map_of_modules(root: Path) -> str:
    """One row per module of the top package."""
    rows = [
        f"| `{path.name}` | {_first_line(path)} |"
        for path in sorted((root / "framepack").glob("*.py"))
        if path.name != "__init__.py"
    ]
    return "\n".join(["| module | what it is |", "|---|---|", *rows])


def layers(root: Path) -> str:
    """The layers of the import contracts, highest first: of the whole package, then of single folders."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    return "\n\n".join(
        "\n".join(["```", contract["containers"][0], *(f"  {layer}" for layer in contract["layers"]), "```"])
        for contract in contracts
    )


def contracts(root: Path) -> str:
    """The names of the import contracts."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return "\n".join(f"- {contract['name']}." for contract in project["tool"]["importlinter"]["contracts"])


def _packages(root: Path) -> Iterator[tuple[Path, list[str]]]:
    for init in sorted((root / "framepack").rglob("__init__.py")):
        modules = sorted(path.stem for path in init.parent.glob("*.py") if path != init)
        yield init.parent, modules


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("``", "`").replace("|", "\\|")
