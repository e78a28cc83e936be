"""`make quick` chooses the tests that are nearest to a change, and keeps to its time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.quick import changed_files, nearest_tests

ROOT = Path(__file__).parents[2]
TREE = {
    "framepack/media/read/probe.py": "",
    "framepack/media/read/reader.py": "",
    "framepack/operations/postprocess/loop.py": '@operation(\n    "POST", "/loop"\n)\ndef loop() -> None: ...\n',
    "framepack/job.py": "",
    "tests/media/read/test_probe.py": "from framepack.media.read.probe import probe\n",
    "tests/media/read/test_reader.py": "from framepack.media.read.reader import open_clip\n",
    "tests/media/read/test_hostile.py": "import framepack.media.read.probe\n",
    "tests/media/write/test_writer.py": "from framepack.media.read import decoder, probe\n",
    "tests/operations/test_loop.py": 'def test_x(bench):\n    bench.run("loop", [])\n',
    "tests/operations/test_export.py": 'def test_x(bench):\n    run(bench, "loop")\n',
    "tests/operations/test_join.py": "",
    "framepack/operations/postprocess/export.py": "PresetStep(...)\n",
    "tests/operations/test_every_operation.py": "",
    "tests/operations/test_workflow_presets.py": "",
    "tests/contract/test_contract.py": "",
    "tests/test_job.py": "",
    "tests/image/test_hub.py": "",
    "tests/worker/test_loop.py": "",
    "tests/tools/test_quick.py": "from tests.support.clips import Spec\n",
    "tests/support/clips.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project."""
    for path, text in TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        (
            "framepack/media/read/probe.py",
            [
                "tests/media/read/test_probe.py",  # of its name
                "tests/media/read/test_hostile.py",  # beside it, imports it
                "tests/media/write/test_writer.py",  # elsewhere, imports it
                "tests/media/read/test_reader.py",  # beside it
            ],
        ),
        (
            "framepack/operations/postprocess/loop.py",
            [
                "tests/contract/test_contract.py",  # over all operations
                "tests/operations/test_every_operation.py",
                "tests/operations/test_loop.py",  # of its name
                "tests/operations/test_export.py",  # beside it, runs it
                "tests/operations/test_join.py",  # beside it
                "tests/operations/test_workflow_presets.py",
            ],
        ),
        (
            "framepack/operations/postprocess/export.py",
            [
                "tests/contract/test_contract.py",
                "tests/operations/test_every_operation.py",
                "tests/operations/test_export.py",
                "tests/operations/test_workflow_presets.py",  # it is in presets
                "tests/operations/test_join.py",
                "tests/operations/test_loop.py",
            ],
        ),
        ("framepack/job.py", ["tests/test_job.py"]),
        ("tests/media/read/test_reader.py", ["tests/media/read/test_reader.py"]),
        ("tests/support/clips.py", ["tests/tools/test_quick.py"]),
        ("Dockerfile", ["tests/image/test_hub.py"]),
        ("handler.py", ["tests/worker/test_loop.py"]),
        ("LICENSE", []),
    ],
)
def test_tests_of_a_changed_file_are_ordered_by_distance(tree: Path, changed: str, tests: list[str]) -> None:
    """First come its own tests, then tests that import or run it, then tests of its folder."""
    assert nearest_tests([changed], tree) == tests


def test_with_several_changes_the_nearest_one_counts(tree: Path) -> None:
    """A changed test comes first."""
    changed = ["framepack/media/read/probe.py", "tests/media/read/test_reader.py"]

    assert nearest_tests(changed, tree)[:2] == ["tests/media/read/test_reader.py", "tests/media/read/test_probe.py"]


def test_every_folder_of_the_package_leads_to_some_test() -> None:
    """A new module is added to each folder of the real tree."""
    folders = [path.parent.relative_to(ROOT) for path in (ROOT / "framepack").glob("*/**/__init__.py")]
    assert len(folders) > 20

    assert [str(folder) for folder in folders if not nearest_tests([f"{folder}/new_module.py"], ROOT)] == []


def test_changed_files_are_taken_from_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These are edited, deleted and new files, but not ignored ones."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, env=clean, check=True, capture_output=True)

    git("init", "--initial-branch", "main")
    for name in ("edited.py", "deleted.py", "same.py"):
        (tmp_path / name).write_text("1\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("ignored.py\n", encoding="utf-8")
    git("add", ".")
    git("commit", "-m", "first")
    git("switch", "--create", "branch")
    (tmp_path / "committed.py").write_text("1\n", encoding="utf-8")
    git("add", ".")
    git("commit", "-m", "second")
    (tmp_path / "edited.py").write_text("2\n", encoding="utf-8")
    (tmp_path / "deleted.py").unlink()
    for name in ("new.py", "ignored.py"):
        (tmp_path / name).write_text("1\n", encoding="utf-8")
    monkeypatch.setattr("tools.quick.ROOT", tmp_path)

    assert sorted(changed_files(None)) == ["committed.py", "deleted.py", "edited.py", "new.py"]
    assert sorted(changed_files("HEAD")) == ["deleted.py", "edited.py", "new.py"]


def test_tests_that_would_start_after_the_time_limit_are_skipped(tmp_path: Path) -> None:
    """They are reported with the reason, and the run does not fail."""
    (tmp_path / "test_slow.py").write_text("def test_one(): ...\ndef test_two(): ...\n", encoding="utf-8")
    code = "import sys, pytest; from tools.quick import TimeBudget; "
    code += f"sys.exit(pytest.main(['-q', '-rs', '-c', '/dev/null', {str(tmp_path)!r}], plugins=[TimeBudget(-1)]))"

    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout
    assert "SKIPPED [2]" in ran.stdout
    assert "2 skipped" in ran.stdout
