"""The generated parts of docs/architecture.md name every module, layer and contract."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tools.code_map import contracts, layers, map_of_modules, map_of_packages

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def test_the_map_has_every_module_of_the_package() -> None:
    """There is one row per folder, and one per module of the top folder."""
    named = [f"framepack/{name}" for name in re.findall(r"^\| `(\w+\.py)` \|", map_of_modules(ROOT), re.MULTILINE)]
    for folder, modules in re.findall(r"^\| `([\w/]+)/` \|.*\| ([^|]*) \|$", map_of_packages(ROOT), re.MULTILINE):
        named += [f"framepack/{folder}/{module}.py" for module in re.findall(r"`(\w+)`", modules)]
        named.append(f"framepack/{folder}/__init__.py")
    there = [path.relative_to(ROOT).as_posix() for path in (ROOT / "framepack").rglob("*.py")]

    assert sorted([*named, "framepack/__init__.py"]) == sorted(there)


def test_every_row_of_the_map_is_a_sentence() -> None:
    """Rows are the first lines of docstrings."""
    rows = [*map_of_modules(ROOT).splitlines()[2:], *map_of_packages(ROOT).splitlines()[2:]]

    assert [row for row in rows if not row.split(" | ")[1].rstrip(" |").endswith(".")] == []


def test_layers_and_contracts_match_the_configuration() -> None:
    """Each layer is a line, and each contract is a list item."""
    lines = layers(ROOT).splitlines()

    assert [f"- {each['name']}." for each in CONTRACTS] == contracts(ROOT).splitlines()
    for contract in CONTRACTS:
        for layer in contract.get("layers", []):
            assert f"  {layer}" in lines
