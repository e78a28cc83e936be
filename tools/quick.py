"""The inner loop, ``make quick``: all fast checks, and the tests closest to the changed files, in about a minute.

Changed files are those that differ from the commit where the branch left ``main``, including uncommitted ones. The
closest tests run first, up to a number of files; tests that would start after the time limit are skipped.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
ALWAYS: Final = "tests/architecture/test_architecture.py"
CHECKS: Final = (("ruff", "format", "--check", "."), ("ruff", "check", "."), ("lint-imports", "--no-logo"), ("mypy",))
OTHER_FILES: Final = {
    ".github/": "tests/architecture/",
    ".pre-commit-config.yaml": "tests/architecture/",
    ".runpod/": "tests/image/",
    "Dockerfile": "tests/image/",
    "MANIFEST.in": "tests/packaging/",
    "Makefile": "tests/architecture/",
    "builder/": "tests/image/",
    "builder/install.sh": "tests/setup/",
    "builder/requirements": "tests/setup/",
    "docs/": "tests/architecture/",
    "handler.py": "tests/worker/",
    "pyproject.toml": "tests/architecture/",
}
"""The folder of tests for files that no test imports, by the start of their paths."""
EVERY_OPERATION: Final = ("tests/operations/test_every_operation.py", "tests/contract/test_contract.py")
"""The tests that run over all operations and import none of them."""
PRESETS: Final = "tests/operations/test_workflow_presets.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and the tests.

    Returns:
        The exit status: 0 if nothing failed.
    """
    parser = argparse.ArgumentParser(description="Run the fast checks and the tests of what changed.")
    parser.add_argument("--seconds", type=float, default=40, help="time limit for the tests (default: 40)")
    parser.add_argument("--files", type=int, default=15, help="maximum number of test files to run (default: 15)")
    parser.add_argument("--since", help="a commit to compare with (default: where the branch left main)")
    parser.add_argument("--list", action="store_true", help="only list the tests that would run, nearest first")
    options = parser.parse_args(arguments)

    tests = list(dict.fromkeys([ALWAYS, *nearest_tests(changed_files(options.since), ROOT)]))
    if options.list:
        print(*tests, sep="\n")
        return 0
    passed = [_run_check(check) for check in CHECKS]
    nearest, others = tests[: options.files], tests[options.files :]
    paths = [str(ROOT / test) for test in nearest]
    print("$ pytest", *nearest, f"(and not {len(others)} other files of tests)" if others else "", flush=True)
    status = pytest.main(["-q", "--rootdir", str(ROOT), *paths], plugins=[TimeBudget(options.seconds)])
    return int(status) if all(passed) else 1


def _run_check(command: tuple[str, ...]) -> bool:
    program, *arguments = command
    print("$", *command, flush=True)
    return subprocess.run([Path(sys.executable).parent / program, *arguments], cwd=ROOT, check=False).returncode == 0


class TimeBudget:
    """A pytest plugin that skips the tests that would start after a time limit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    def pytest_collection_finish(self) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self._seconds

    def pytest_runtest_setup(self) -> None:
        """Skip the next test if the time is over."""
        if time.monotonic() > self._end:
            pytest.skip(f"not run: the {self._seconds:g} seconds of `make quick` were over")


def changed_files(since: str | None) -> list[str]:
    """Paths of the files that differ from a commit, including new and deleted ones."""
    base = since or _where_the_branch_left_main()
    return [*_git("diff", "--name-only", "--no-renames", base), *_git("ls-files", "--others", "--exclude-standard")]


def _where_the_branch_left_main() -> str:
    for branch in ("origin/HEAD", "origin/main", "main"):
        if _git("rev-parse", "--verify", "--quiet", branch):
            return _git("merge-base", "HEAD", branch)[0]
    return "HEAD"


def _git(*arguments: str) -> list[str]:
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()


def nearest_tests(changed: Iterable[str], root: Path) -> list[str]:
    """The tests to run for changed files, the nearest first.

    Nearest are changed tests, then tests of the module's name in the folder that mirrors its own, then tests there
    that import it, then tests elsewhere that import it, then the rest of that folder.
    """
    texts = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in (root / "tests").rglob("test_*.py")
    }
    ranked: dict[str, int] = {}
    for path in changed:
        for test, rank in _ranked(path, texts, root).items():
            ranked[test] = min(rank, ranked.get(test, rank))
    return sorted(ranked, key=lambda test: (ranked[test], test))


def _ranked(path: str, texts: dict[str, str], root: Path) -> dict[str, int]:
    """The tests of one changed file, with how far they are from it."""
    if path in texts:
        return {path: 0}
    if not path.endswith(".py") or path == "handler.py":
        folders = {tests for begin, tests in OTHER_FILES.items() if path.startswith(begin)}
        return {test: 2 for test in texts if test.startswith(tuple(folders))}
    folder = _mirror(path, root)
    name = re.compile(rf"test_(\w+_)?{Path(path).stem}(_\w+)?\.py")
    used = _uses(path, root)
    ranked = {} if folder == "tests/" else {test: 4 for test in texts if test.startswith(folder)}
    ranked |= {test: 2 if test.startswith(folder) else 3 for test, text in texts.items() if used.search(text)}
    ranked |= {test: 1 for test in texts if test.startswith(folder) and name.fullmatch(Path(test).name)}
    return ranked | dict.fromkeys(_over_all_operations(path, root), 1)


def _over_all_operations(path: str, root: Path) -> Iterator[str]:
    """The tests that run over all operations, if the file declares some."""
    file = root / path
    if not path.startswith("framepack/operations/"):
        return
    is_in_presets = file.is_file() and "PresetStep" in file.read_text(encoding="utf-8")
    for test in (*EVERY_OPERATION, *([PRESETS] if is_in_presets else [])):
        if (root / test).is_file():
            yield test


def _mirror(path: str, root: Path) -> str:
    """The folder of tests that mirrors a module's, or the nearest one above it."""
    parts = Path(path.removeprefix("framepack/")).parent.parts
    while parts and not (root / "tests").joinpath(*parts).is_dir():
        parts = parts[:-1]
    return "/".join(("tests", *parts, ""))


def _uses(path: str, root: Path) -> re.Pattern[str]:
    """What a test says that uses a module: it imports it, or runs one of its operations."""
    module = re.escape(path.removesuffix("/__init__.py").removesuffix(".py").replace("/", "."))
    package, _, name = module.rpartition("\\.")
    ways = [rf"^\s*(from|import) {module}\b(?!\.)", rf"^\s*from {package} import .*\b{name}\b"]
    file = root / path
    if path.startswith("framepack/operations/") and file.is_file():
        declared = re.findall(
            r"^@operation\(.*?^def (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        ways += [rf'\w\((\w+, )?"{operation}"' for operation in declared]
    return re.compile("|".join(ways), re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main())
