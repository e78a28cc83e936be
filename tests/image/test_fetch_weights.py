"""The image build's script brings the published weights, wherever they are to be had, and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.fetch_weights import choose, read_table
from framepack.models.weights.catalog import CATALOG
from tests.support.http_server import Answer, HttpServer

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "builder" / "fetch_weights.py"
CONTENT = bytes(range(256)) * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
UNREACHABLE = "http://127.0.0.1:9/tiny.pth"


@dataclass(frozen=True)
class Build:
    """A build stage: a copy of the script beside a table of one file, and the folders that the script gets."""

    folder: Path

    def run(self, *urls: str, given: Path | None = None, wanted: str = "default") -> subprocess.CompletedProcess[str]:
        """Fetch as the Dockerfile does, with a Python that finds no package."""
        stage = self.folder / "builder"
        stage.mkdir(exist_ok=True)
        shutil.copy(SCRIPT, stage)
        row: dict[str, object] = {"filename": "tiny.pth", "model": "tiny", "group": "upscaler", "urls": urls}
        row |= {"size_bytes": len(CONTENT), "sha256": SHA256}
        (stage / "weights.json").write_text(json.dumps([row]))
        command = [sys.executable, "-I", "-S", str(stage / SCRIPT.name), wanted, "--to", str(self.models)]
        command += ["--given", str(given or self.folder), "--cache", str(self.folder / "cache")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    @property
    def models(self) -> Path:
        """Where the files go."""
        return self.folder / "models"

    def files(self) -> list[str]:
        """What is there."""
        return sorted(path.name for path in self.models.iterdir())


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A build stage."""
    return Build(tmp_path)


def test_the_table_of_weights_equals_the_catalog() -> None:
    """Every file has the same URLs, size and hash."""
    assert {(file.model, file.filename, file.urls, file.size_bytes, file.sha256) for file in read_table()} == {
        (row.name, weights.filename, weights.urls, weights.size_bytes, weights.sha256)
        for row in CATALOG.rows
        for weights in row.weights
    }


def test_the_default_set_has_no_non_commercial_weights() -> None:
    """It has the models for upscaling, interpolation and face detection."""
    groups = {weights.filename: row.group for row in CATALOG.rows for weights in row.weights}
    restricted = {each.filename for each in CATALOG.weights() if "non-commercial" in each.license}

    default = {file.filename for file in choose(read_table(), "default")}

    assert "GFPGANv1.4.pth" in restricted
    assert default == set(groups) - restricted
    assert {groups[name] for name in default} == {"upscaler", "interpolator", "face"}
    assert {file.filename for file in choose(read_table(), "all")} == set(groups)
    assert {groups[file.filename] for file in choose(read_table(), "upscalers")} == {"upscaler"}
    assert choose(read_table(), "none") == []


def test_models_may_be_selected_by_name() -> None:
    """Names and sets can be combined. All files of a model are fetched."""
    named = choose(read_table(), "RIFE_v4.25, RealESR-general-x4v3")

    assert [file.filename for file in named] == [
        "realesr-general-x4v3.pth",
        "realesr-general-wdn-x4v3.pth",
        "flownet_v4.25.pkl",
    ]


def test_an_unknown_name_is_refused_with_the_known_names(build: Build) -> None:
    """No file is fetched."""
    done = build.run(UNREACHABLE, wanted="everything")

    assert done.returncode == 2
    assert done.stderr == "WEIGHTS names everything; it may name none, upscalers, default, all, tiny.\n"


def test_a_file_is_fetched_with_the_standard_library_alone(build: Build) -> None:
    """Only this file is in the folder."""
    with HttpServer({"/tiny.pth": Answer(body=CONTENT)}) as server:
        done = build.run(f"{server.url}/tiny.pth")

    assert done.returncode == 0
    assert done.stdout == f"[1/1] tiny.pth (2.6 MB): fetched from 127.0.0.1:{server.port}\n"
    assert (build.models / "tiny.pth").read_bytes() == CONTENT
    assert build.files() == ["tiny.pth"]


@pytest.mark.parametrize(
    "official", [Answer(404), Answer(503), Answer(body=CONTENT[:-1] + b"!"), Answer(body=CONTENT * 2)]
)
def test_a_mirror_is_used_when_the_official_url_fails(build: Build, official: Answer) -> None:
    """These are refused connections, broken responses, other files and too large files. There is no retry before."""
    with HttpServer({"/official": official, "/mirror": Answer(body=CONTENT)}) as server:
        done = build.run(f"{server.url}/official", f"{server.url}/mirror")
        asked = [request.path for request in server.requests]

    assert done.returncode == 0
    assert asked == ["/official", "/mirror"]
    assert build.files() == ["tiny.pth"]


def test_a_temporary_error_is_retried(build: Build) -> None:
    """After a 503 the same URL is requested once more."""
    answers = [Answer(503), Answer(body=CONTENT)]
    with HttpServer(lambda _: answers.pop(0)) as server:
        assert build.run(f"{server.url}/tiny.pth").returncode == 0


def test_a_file_that_no_url_has_fails_the_build_with_a_remedy(build: Build) -> None:
    """The output has the file, the reasons and a remedy. No partial file remains."""
    with HttpServer({"/mirror": Answer(body=b"another file")}) as server:
        done = build.run(f"{server.url}/official", f"http://localhost:{server.port}/mirror")

    assert done.returncode == 1
    assert (
        f"failed: 127.0.0.1:{server.port}: HTTP 404; localhost:{server.port}: not the published file\n" in done.stdout
    )
    assert done.stderr == (
        "Missing: tiny.pth. Put such a file into the folder weights/ and build with WEIGHTS_FROM=weights, "
        "or leave its model out of WEIGHTS.\n"
    )
    assert build.files() == []


def test_a_local_file_is_used_without_any_request(build: Build, tmp_path: Path) -> None:
    """It is in the folder WEIGHTS_FROM."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "tiny.pth").write_bytes(CONTENT)

    done = build.run(UNREACHABLE, given=given)

    assert done.returncode == 0
    assert "taken from WEIGHTS_FROM" in done.stdout
    assert (build.models / "tiny.pth").read_bytes() == CONTENT


def test_a_local_file_with_another_hash_fails_the_build(build: Build, tmp_path: Path) -> None:
    """It is not silently replaced by a download."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "tiny.pth").write_bytes(CONTENT[::-1])
    with HttpServer({"/tiny.pth": Answer(body=CONTENT)}) as server:
        done = build.run(f"{server.url}/tiny.pth", given=given)

    assert done.returncode == 1
    assert "in WEIGHTS_FROM is not the published one" in done.stdout
    assert build.files() == []


def test_a_file_in_the_build_cache_is_not_fetched_again(build: Build) -> None:
    """The cache keeps it under its hash, which is verified."""
    with HttpServer({"/tiny.pth": Answer(body=CONTENT)}) as server:
        for _ in range(2):
            assert build.run(f"{server.url}/tiny.pth").returncode == 0
            (build.models / "tiny.pth").unlink()
        assert len(server.requests) == 1
        (build.folder / "cache" / SHA256).write_bytes(b"spoiled")
        assert build.run(f"{server.url}/tiny.pth").returncode == 0
        assert len(server.requests) == 2
