"""The worked examples of CONTRIBUTING.md apply to the project, pass its checks, and mistakes in them are found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.distribution import ROOT, tracked

PAGE: Final = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES: Final = dict(re.findall(r"^## Add an? (.+?)\n.*?^```diff\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
CHANGED: Final = re.findall(r"^\+\+\+ b/(.*)$", "".join(EXAMPLES.values()), re.MULTILINE)
NEW_TESTS: Final = [path for path in CHANGED if re.search(r"/test_\w+\.py$", path)]

OPERATION: Final = "framepack/operations/postprocess/reverse.py"
CATALOG: Final = "framepack/models/weights/catalog.py"
CATALOG_TESTS: Final = "tests/models/weights/test_catalog.py"
ROW: Final = 'name="RealESRGANv2-animevideo-xsx2"'
FETCHED: Final = "27985aa2198711ecd72f9bb274ec7b164e018fc9ce2933daaa7c7ab36a2bd3fe"

# What makes the package refuse to start: file, text, what stands there instead, and the sentence.
FATAL: Final = {
    "no docstring": (OPERATION, '    """Play a video backwards."""\n', "", "reverse: an operation needs a docstring"),
    "route of another": (
        OPERATION,
        '"/postprocess/reverse"',
        '"/postprocess/loop"',
        "(POST /postprocess/loop) is declared twice: framepack.operations.postprocess.loop.loop and",
    ),
    "name of another": (
        CATALOG,
        ROW,
        'name="RealESRGAN_x2plus"',
        "Names of models and of their files must be unique.",
    ),
}
# What tests find, and what they say.
FOUND: Final = {
    "no description": (
        OPERATION,
        '"""A video to play backwards."""\n',
        '"""A video to play backwards."""\n\n    times: int = 1\n',
        "times of ReverseRequest needs a description",
    ),
    "no example": (
        OPERATION,
        ', examples={"A video": {"video_url": "https://example.com/video.mp4"}}',
        "",
        "reverse needs an example",
    ),
    "no reason": (
        "tests/contract/deviations.py",
        '    "reverse":',
        '    # "reverse":',
        "add ['reverse'], with a reason",
    ),
    "no reason for a field": (
        "tests/contract/deviations.py",
        '"filters": {**_TOKEN, "hue"',
        '"batch": {**_TOKEN, "hue"',
        "give the reason for ['hue'] in EXTENSIONS of tests/contract/deviations.py",
    ),
    "no docs": ("docs/errors.md", "# Errors", "# Mistakes", ".md is stale: run `make docs`"),
    "short hash": (CATALOG, FETCHED, FETCHED[:-1], "a SHA-256 is 64 hexadecimal digits"),
    "wrong scale": (
        CATALOG,
        'scale=2,\n            weights=(\n                _published(\n                    "v0.2.3.0',
        'scale=4,\n            weights=(\n                _published(\n                    "v0.2.3.0',
        "test_a_scale_is_that_of_the_name[RealESRGANv2-animevideo-xsx2]",
    ),
    "no license": (CATALOG, 'sha256, "BSD-3-Clause"', 'sha256, ""', "test_a_file_has_the_license_of_its_publisher"),
    "wrong sign": (
        "framepack/models/frames/device_filter.py",
        "cosine, sine = self._grade.turn\n",
        "cosine, sine = self._grade.turn[0], -self._grade.turn[1]\n",
        "[hue=36-bikes]",
    ),
    "control without effect": (
        "framepack/media/filters/grade.py",
        "settings.brightness / 100,\n",
        "0,\n",
        "brightness=100 changes nothing on the device: see Grade.of",
    ),
}


def copied(folder: Path) -> Path:
    """The project in ``folder``, with all examples applied."""
    for path in tracked(and_new=True):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)
    for diff in EXAMPLES.values():
        subprocess.run(["git", "apply", "-"], cwd=folder, input=diff, text=True, check=True)
    run(folder, "tools.docs")
    return folder


def run(tree: Path, module: str, *arguments: str) -> str:
    """What a module prints when it is run in a copy; its last line is the exit status."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}\nexit status {done.returncode}"


def spoil(tree: Path, name: str, right: str, wrong: str) -> None:
    """Put a mistake into a copy."""
    text = (tree / name).read_text(encoding="utf-8")
    assert text.count(right) == 1, f"{name} has {text.count(right)} times: {right}"
    (tree / name).write_text(text.replace(right, wrong), encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with all examples, to look at."""
    return copied(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_diff_of_every_example_applies(title: str) -> None:
    """Its diff applies; if not, bring it up to date in CONTRIBUTING.md."""
    done = subprocess.run(
        ["git", "apply", "--check", "-"], cwd=ROOT, input=EXAMPLES[title], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"Add an {title}: {done.stderr}"


def test_the_page_has_its_three_examples() -> None:
    """An operation, a model and a control, two of them with a test of their own."""
    assert [title.split()[-1] for title in EXAMPLES] == ["operation", "model", "control"]
    assert len(NEW_TESTS) == 2


def test_the_examples_pass_the_checks(tree: Path) -> None:
    """Format, lint, imports, their own tests, and those that know of all operations, models or fields."""
    tests = [
        *NEW_TESTS,
        "tests/architecture/test_architecture.py",
        "tests/contract/test_contract.py",
        "tests/operations/test_every_operation.py",
        "tests/operations/test_list_models.py",
        "tests/operations/test_workflow_presets.py",
        "tests/media/filters/test_each_control.py",
        "tests/test_registry.py",
        CATALOG_TESTS,
    ]
    for module, *arguments in (
        ["ruff", "format", "--check", "--no-cache", *CHANGED],
        ["ruff", "check", "--no-cache", *CHANGED],
        ["pytest", "-q", *tests],
    ):
        printed = run(tree, module, *arguments)
        assert printed.endswith("exit status 0"), printed


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_examples_pass_the_long_checks(tree: Path) -> None:
    """Types, contracts of imports, and the tests of everything that an operation, a model or a control reaches."""
    run(tree, "tools.contact_sheet")
    tests = ["rest/test_openapi.py", "rest/test_contract_over_http.py", "cli", "operations", "api", "tools", "models"]
    for module, *arguments in (
        ["mypy"],
        ["pytest", "-q", *(f"tests/{each}" for each in tests), "tests/media/filters", "tests/image"],
    ):
        printed = run(tree, module, *arguments)
        assert printed.endswith("exit status 0"), printed


@pytest.mark.parametrize("mistake", FATAL)
def test_an_invalid_declaration_stops_the_start(tmp_path: Path, tree: Path, mistake: str) -> None:
    """Whatever imports the operations and the catalog says what is wrong."""
    spoiled = tmp_path / "spoiled"
    shutil.copytree(tree / "framepack", spoiled / "framepack")
    name, right, wrong, sentence = FATAL[mistake]
    spoil(spoiled, name, right, wrong)

    printed = run(spoiled, "framepack", "run", "list-models")

    assert sentence in printed
    assert not printed.endswith("exit status 0")


def test_every_planted_mistake_fails_a_test_with_its_message(tmp_path: Path, tree: Path) -> None:
    """One run over all of them: each has its own message."""
    spoiled = shutil.copytree(tree, tmp_path / "spoiled")
    (spoiled / "tests/operations/test_reverse.py").unlink()
    for name, right, wrong, _ in FOUND.values():
        spoil(spoiled, name, right, wrong)

    printed = run(
        spoiled,
        "pytest",
        "-q",
        *("tests/architecture/test_architecture.py", "tests/contract/test_contract.py", CATALOG_TESTS),
        "tests/operations/test_every_operation.py",
        *("tests/models/test_device_filters.py", "tests/media/filters/test_each_control.py"),
        *(
            "-k",
            "not (test_device_filters or test_each_control) or (hue and 36 and bikes) or (changes and brightness)",
        ),
    )

    sentences = ["write tests/operations/test_reverse.py", *(sentence for *_, sentence in FOUND.values())]
    assert [sentence for sentence in sentences if sentence not in printed] == [], printed
