"""`make dist`: the wheel works from any folder, and the source archive has all that its tests need."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from framepack import __version__
from framepack.media.read.probe import probe
from tests.support.clips import Spec, make_clip
from tests.support.distribution import Built, Installed, tracked

INFO = f"framepack_worker-{__version__}.dist-info"
NOTICES = ["LICENSE", "THIRD_PARTY_NOTICES.md"]
TYPED_USER = """\
from framepack import __version__
from framepack.errors import FramepackError

def status(error: FramepackError) -> int:
    return error.status

reveal_type(__version__)
reveal_type(status)
status("not an error")
"""


@pytest.fixture(scope="module")
def metadata(built: Built) -> Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(built.wheel) as wheel:
        return message_from_bytes(wheel.read(f"{INFO}/METADATA"))


def test_the_wheel_contains_only_the_package_and_its_notices(built: Built) -> None:
    """These are all tracked files of framepack/, including py.typed, the license and the notices."""
    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
        notices = [wheel.read(f"{INFO}/licenses/{name}").decode() for name in NOTICES]

    assert sorted(name for name in names if not name.startswith(f"{INFO}/")) == [
        path for path in tracked(and_new=True) if path.startswith("framepack/")
    ]
    assert "framepack/py.typed" in names
    assert notices == [(built.tree / name).read_text() for name in NOTICES]


def test_the_wheel_has_version_license_and_readme(metadata: Message) -> None:
    """The license is an SPDX expression, and README is the long description."""
    assert (metadata["Name"], metadata["Version"]) == ("framepack-worker", __version__)
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == NOTICES
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# ")


def test_the_source_archive_contains_every_tracked_file(built: Built) -> None:
    """Other files are only those that setuptools generates."""
    with tarfile.open(built.sdist) as archive:
        members = [Path(each.name) for each in archive.getmembers() if each.isfile()]

    assert {path.parts[0] for path in members} == {f"framepack_worker-{__version__}"}
    inside = {str(Path(*path.parts[1:])) for path in members}
    generated = {name for name in inside if name.startswith("framepack_worker.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert set(tracked()) - inside == set()
    assert inside - generated - set(tracked(and_new=True)) == set()


def test_the_command_works_from_any_folder(installed: Installed) -> None:
    """Both `framepack` and `python -m framepack` run the installed package."""
    by_name = installed.run(installed.command, "weights", "list")
    by_module = installed.run(installed.python, "-m", "framepack", "weights", "list")
    where = installed.run(installed.python, "-c", "import framepack; print(framepack.__file__)")

    assert "RealESRGAN_x4plus.pth" in by_name.stdout, by_name.stderr
    assert (by_module.returncode, by_module.stdout) == (0, by_name.stdout)
    assert where.stdout.startswith(str(installed.python.parents[1]))


def test_the_installed_command_filters_a_video(installed: Installed) -> None:
    """Input and output are in the current folder."""
    make_clip(installed.folder / "in.mp4", Spec(size=(64, 36), count=12))

    ran = installed.run(installed.command, "run", "filters", "in.mp4", "-o", "out.mp4", "--brightness", "20")

    assert ran.returncode == 0, ran.stderr
    assert probe(installed.folder / "out.mp4").frame_count == 12


def test_type_checkers_see_the_types_of_the_package(installed: Installed) -> None:
    """A strict mypy run over a user's file finds a wrong type."""
    user = installed.folder / "user.py"
    user.write_text(TYPED_USER)

    checked = installed.run(
        sys.executable, "-m", "mypy", "--strict", "--python-executable", installed.python, "--cache-dir=mypy", user
    )

    assert 'Revealed type is "str"' in checked.stdout, checked.stdout + checked.stderr
    assert 'Revealed type is "def (error: framepack.errors.FramepackError) -> int"' in checked.stdout
    assert '"status" has incompatible type "str"; expected "FramepackError"' in checked.stdout
    assert "Found 1 error" in checked.stdout


def test_the_tests_of_the_source_archive_pass(built: Built, tmp_path: Path) -> None:
    """These are the tests of rules and declarations, run in an unpacked archive."""
    quick = [
        "tests/architecture",
        "tests/test_registry.py",
        "tests/test_errors.py",
        "tests/contract/test_document.py",
    ]

    tested = _pytest(built.unpacked(tmp_path), *quick)

    assert tested.returncode == 0, tested.stdout


@pytest.mark.slow
def test_every_test_module_of_the_source_archive_imports(built: Built, tmp_path: Path) -> None:
    """The archive contains everything that the tests import."""
    found = _pytest(built.unpacked(tmp_path), "--collect-only")

    assert found.returncode == 0, found.stdout
    assert len(found.stdout.splitlines()) > 5000


def _pytest(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
