"""The files that a public project has about itself agree with it and with each other."""

from __future__ import annotations

import configparser
import re
import tomllib
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from framepack import __version__
from tests.support.distribution import tracked

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/**/*.md")]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
DEVELOPER_PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]
FILES = [
    path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if ".venv" not in path.parts and path.is_file()
]
INPUTS = {"dropdown", "input", "textarea", "checkboxes"}  # of the forge's issue forms


def load(path: str) -> dict[str, Any]:
    """A YAML file of the project."""
    content: dict[str, Any] = yaml.safe_load((ROOT / path).read_text())
    return content


def commands() -> list[tuple[str, str]]:
    """Every `make TARGET` in pages, workflows and hooks, with the file that says it."""
    files = [*PAGES, *ROOT.glob(".github/workflows/*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / ".ci" / "run"]
    said = re.compile(r"(?:`|run: |^)make ([a-z][a-z-]*)", re.MULTILINE)
    return [(path.name, target) for path in files for target in said.findall(path.read_text())]


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    """Below what is unreleased, releases follow with their dates, the newest first."""
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", each) for each in headings[1:]]

    assert headings[0] == "[Unreleased]"
    assert None not in releases
    named = [(tuple(map(int, each[1].split("."))), date.fromisoformat(each[2])) for each in releases if each]
    assert headings[1].startswith(f"[{__version__}] - ")
    assert all(newer[0] > older[0] and newer[1] >= older[1] for newer, older in pairwise(named))


def test_the_pythons_that_are_named_are_those_that_are_tested() -> None:
    """The workflow tests each Python of the classifiers; the oldest is the one that metadata and ruff require."""
    tested = load(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = [
        each.removeprefix("Programming Language :: Python :: ")
        for each in PROJECT["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", each)
    ]

    assert tested == named
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{named[0].replace('.', '')}"


def test_workflows_may_little_and_run_what_they_name() -> None:
    """They may only read, and an action is a commit, beside which its version stands."""
    for path in ROOT.glob(".github/workflows/*.yml"):
        workflow = load(str(path.relative_to(ROOT)))
        assert workflow["permissions"] == {"contents": "read"}
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        pinned = re.findall(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.read_text(), re.MULTILINE)
        assert len(pinned) == sum("uses" in step for step in steps) > 0
        assert any(step.get("run", "").startswith("make ") for step in steps)


def test_make_has_every_target_that_is_named() -> None:
    """Documents, workflows and hooks name targets that there are."""
    assert {"demo", "test", "check", "dist"} <= TARGETS
    assert {("test.yml", "test"), ("CONTRIBUTING.md", "test"), ("RELEASING.md", "dist")} <= set(commands())
    assert [each for each in commands() if each[1] not in TARGETS] == []


def test_hooks_use_the_locked_tools() -> None:
    """Each runs a tool of the development environment, on Python files, and downloads nothing."""
    locked = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "builder" / "requirements-dev.txt").read_text(), re.MULTILINE)
    )
    packages = {"ruff": "ruff", "lint-imports": "import-linter"}
    (repository,) = load(".pre-commit-config.yaml")["repos"]

    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        folder, _, tool = hook["entry"].split()[0].rpartition("/")
        assert (folder, hook["language"], hook["types"]) == (".venv/bin", "system", ["python"])
        assert packages[tool] in locked


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_issue_forms_can_be_filled_in(name: str) -> None:
    """A form has a name, a sentence, and fields with unique ids and labels."""
    form = load(f".github/ISSUE_TEMPLATE/{name}")
    fields = [each for each in form["body"] if each["type"] != "markdown"]

    assert form["name"]
    assert form["description"]
    assert {each["type"] for each in fields} <= INPUTS
    assert len({each["id"] for each in fields}) == len(fields) >= 3
    assert all(each["attributes"]["label"] for each in fields)
    assert all(each["attributes"]["options"] for each in fields if each["type"] == "dropdown")


def test_a_bug_report_asks_for_what_helps() -> None:
    """The doctor's output, and the private way for a vulnerability."""
    form = load(".github/ISSUE_TEMPLATE/bug.yml")

    assert (
        "framepack doctor" in next(each for each in form["body"] if each.get("id") == "doctor")["attributes"]["label"]
    )
    assert "SECURITY.md" in form["body"][0]["attributes"]["value"]
    assert (ROOT / "SECURITY.md").is_file()


def test_text_files_keep_to_the_editors_rules() -> None:
    """What .editorconfig says of every file holds: UTF-8, LF, a last newline, no blanks at ends, tabs in make."""
    rules = configparser.ConfigParser()
    rules.read_string("[root]\n" + (ROOT / ".editorconfig").read_text())
    assert rules["*.py"].getint("max_line_length") == PROJECT["tool"]["ruff"]["line-length"]
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" in content or not content:
            continue
        lines = content.decode("utf-8").split("\n")
        assert b"\r" not in content, name
        assert lines[-1] == "", f"{name}: no newline at its end"
        assert [line for line in lines if line != line.rstrip()] == [], name
        assert name == "Makefile" or not any(line.startswith("\t") for line in lines), name


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link names a file of the project."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if not re.match(r"[a-z]+:|#", link):
                assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


def test_files_that_pages_name_exist() -> None:
    """Paths start at the root or in ``framepack/``. What comes after the first "Add ..." of a page is an example."""
    names = {path.rsplit("/", 1)[-1] for path in FILES}
    folders = {f"{parent}/" for path in FILES for parent in map(str, Path(path).parents)}
    known = {*FILES, *folders, *names}
    said = re.compile(r"(?<![\w./:<-])(?:[\w.-]+/)*[\w-]+(?:\.(?:py|sh|toml)\b|/(?![\w.]))")
    for page in DEVELOPER_PAGES:
        text, _, _ = page.read_text(encoding="utf-8").partition("\n## Add ")
        found = said.findall(text)
        assert found, page.name
        unknown = [path for path in found if path not in known and f"framepack/{path}" not in known]
        assert unknown == [], page.name


def test_every_network_of_ours_has_its_notice() -> None:
    """A file that follows somebody's network is named in the notices, with what it follows and the license."""
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    wrappers = {"network.py", "strips.py"}  # what networks share, follows none
    models = (ROOT / "framepack" / "models").rglob("*.py")
    files = [path for path in models if "(nn.Module):" in path.read_text() and path.name not in wrappers]

    assert files
    for path in files:
        assert f"| `{path.relative_to(ROOT)}` |" in notices
    assert "Copyright (c) 2021 hzwer" in notices


def test_the_license_is_the_one_that_is_named() -> None:
    """LICENSE is the text of the SPDX name in the metadata, and both files of notices go into wheel and archive."""
    assert (ROOT / "LICENSE").read_text().startswith(f"{PROJECT['project']['license']} License\n")
    for name in PROJECT["project"]["license-files"]:
        assert (ROOT / name).is_file()
