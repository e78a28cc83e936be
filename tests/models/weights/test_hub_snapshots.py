"""Where repositories are found, that nothing but the published files is accepted, and how they are fetched."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from framepack.errors import DiskFull, ModelUnavailable
from framepack.models.weights import hub_snapshots
from framepack.models.weights.hub_snapshots import FetchRepository, HubSnapshots, snapshot_in
from framepack.models.weights.language_catalog import FLORENCE, GRANITE, REPOSITORIES, Repository, resolve
from framepack.settings import Settings
from tests.support.fake_hub import REVISION, fake_hub, repository
from tests.support.rest_server import free_port

CONTENT = {"config.json": b"{}", "model.safetensors": b"tensors", "tokenizer.json": b"words"}


def _never(wanted: Repository, to: Path) -> None:
    raise AssertionError(f"{wanted.name} was asked for")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The files of a repository, as on the Hub."""
    return _write(tmp_path / "published")


@pytest.fixture
def row(published: Path) -> Repository:
    """Its row."""
    return repository(published)


def _write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


def _snapshots(tmp_path: Path, *, download: bool = False, fetch: FetchRepository = _never) -> HubSnapshots:
    return HubSnapshots(
        tmp_path / "weights",
        caches=lambda: (tmp_path / "volume", tmp_path / "cache"),
        allow_download=download,
        repository_for=lambda group: resolve("none", group),
        fetch=fetch,
    )


@pytest.mark.parametrize("place", ["weights", "volume", "cache"])
def test_a_repository_is_located(tmp_path: Path, row: Repository, place: str) -> None:
    """In the weights folder, in the platform's cache, or in the usual one."""
    folder = tmp_path / "weights" / row.name if place == "weights" else snapshot_in(tmp_path / place, row)
    _write(folder)

    snapshots = _snapshots(tmp_path)

    assert snapshots.open(row) == folder
    assert snapshots.where(row, verify=True) == ("folder" if place == "weights" else "cache")


def test_the_weights_folder_comes_first(tmp_path: Path, row: Repository) -> None:
    """What the deployment put there wins over caches, and the platform's cache over the usual one."""
    snapshots = _snapshots(tmp_path)
    for folder in (snapshot_in(tmp_path / "cache", row), snapshot_in(tmp_path / "volume", row)):
        _write(folder)
        assert snapshots.open(row) == folder

    home = _write(tmp_path / "weights" / row.name)

    assert snapshots.open(row) == home


def test_an_incomplete_snapshot_in_a_cache_is_skipped(tmp_path: Path, row: Repository) -> None:
    """A download of others that broke off does not keep ours from being found elsewhere."""
    half = _write(snapshot_in(tmp_path / "volume", row))
    (half / "model.safetensors").unlink()
    whole = _write(snapshot_in(tmp_path / "cache", row))

    assert _snapshots(tmp_path).open(row) == whole


@pytest.mark.parametrize("place", ["weights", "cache"])
@pytest.mark.parametrize("content", [b"TENSORS", b"more tensors"])
def test_a_file_with_another_hash_is_rejected(tmp_path: Path, row: Repository, place: str, content: bytes) -> None:
    """Whether its size or only its hash differs, wherever it lies."""
    folder = _write(tmp_path / "weights" / row.name if place == "weights" else snapshot_in(tmp_path / "cache", row))
    (folder / "model.safetensors").write_bytes(content)

    snapshots = _snapshots(tmp_path)

    with pytest.raises(
        ModelUnavailable, match=r"^The file model\.safetensors of tiny/model is not the published one"
    ):
        snapshots.open(row)
    assert snapshots.where(row, verify=True) == "wrong"


def test_additional_weights_are_rejected(tmp_path: Path, row: Repository) -> None:
    """A stray file of weights could be preferred by the loader."""
    folder = _write(tmp_path / "weights" / row.name)
    (folder / "other.safetensors").write_bytes(b"")

    with pytest.raises(ModelUnavailable, match=r"^The file other\.safetensors"):
        _snapshots(tmp_path).open(row)


def test_pickles_are_not_accepted(tmp_path: Path) -> None:
    """A folder of the deployment's own with nothing but a pickle is refused."""
    folder = _write(tmp_path / "own")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(ModelUnavailable, match=r"lacks \*\.safetensors \(weights are read from safetensors"):
        _snapshots(tmp_path).open(resolve(str(folder), "enhancer"))


def test_a_file_is_hashed_once(tmp_path: Path, row: Repository) -> None:
    """And again when it has changed."""
    folder = _write(tmp_path / "weights" / row.name)
    snapshots = _snapshots(tmp_path)
    snapshots.open(row)
    path = folder / "model.safetensors"
    stat = path.stat()

    path.write_bytes(b"TENSORS")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert snapshots.open(row) == folder  # looks unchanged

    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(ModelUnavailable):
        snapshots.open(row)


def test_a_missing_repository_is_reported_with_a_remedy(tmp_path: Path) -> None:
    """The sentence names the command that gets it."""
    with pytest.raises(
        ModelUnavailable, match=r"run `python -m framepack weights fetch ibm-granite/granite-3\.3-2b-instruct`"
    ):
        _snapshots(tmp_path).open(GRANITE)
    assert _snapshots(tmp_path).where(GRANITE) == "missing"


def test_concurrent_requests_download_once(tmp_path: Path, row: Repository, published: Path) -> None:
    """The repository appears whole, without the notes of the tools that fetched it."""
    fetched: list[str] = []

    def fetch(wanted: Repository, to: Path) -> None:
        fetched.append(wanted.name)
        shutil.copytree(published, to)
        (to / ".cache").mkdir()

    stores = [_snapshots(tmp_path, download=True, fetch=fetch) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda snapshots: snapshots.open(row), stores))

    assert folders == {tmp_path / "weights" / row.name}
    assert fetched == [row.name]
    assert {path.name for path in folders.pop().iterdir()} == set(CONTENT)


def test_a_download_with_wrong_files_is_deleted(tmp_path: Path, row: Repository, published: Path) -> None:
    """The next try begins anew."""

    def fetch(_wanted: Repository, to: Path) -> None:
        shutil.copytree(published, to)
        (to / "model.safetensors").write_bytes(b"TENSORS")

    with pytest.raises(ModelUnavailable, match="not the published one"):
        _snapshots(tmp_path, download=True, fetch=fetch).open(row)
    assert not list((tmp_path / "weights" / "tiny").iterdir())


def test_a_full_disk_is_reported(tmp_path: Path, row: Repository) -> None:
    """As for every other file."""

    def fetch(_wanted: Repository, _to: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull, match="no room in the weights folder for tiny/model"):
        _snapshots(tmp_path, download=True, fetch=fetch).open(row)


def test_settings_choose_the_repository(tmp_path: Path) -> None:
    """A published one, another one with its revision, or a folder; nothing without a revision."""
    settings = Settings()
    assert resolve(settings.enhancer_model, "enhancer") is GRANITE
    assert resolve(settings.captioner_model, "captioner") is FLORENCE

    other = resolve(f"some/model@{REVISION}", "enhancer")
    assert (other.name, other.revision, other.files) == ("some/model", REVISION, ())
    assert resolve(str(tmp_path), "enhancer").folder == tmp_path

    for setting in ("some/model", "some/model@main", FLORENCE.name):
        with pytest.raises(ModelUnavailable, match=r"^FRAMEPACK_ENHANCER_MODEL names neither .* needs its revision"):
            resolve(setting, "enhancer")


def test_all_repositories_are_pinned() -> None:
    """Every row has a full commit, and all of its weights have sizes and hashes."""
    for each in REPOSITORIES:
        assert len(each.revision) == 40
        assert any(file.path.endswith(".safetensors") for file in each.files)
        assert all(file.size_bytes > 0 and len(bytes.fromhex(file.sha256)) == 32 for file in each.files)
    assert {each.group for each in REPOSITORIES} == {"enhancer", "captioner"}
    assert replace(GRANITE, files=()).size_bytes == 0 < FLORENCE.size_bytes < GRANITE.size_bytes


def _fetch_by_command(tmp_path: Path, hub: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m framepack weights fetch enhancer`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "framepack", "weights", "fetch", "enhancer"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_ENDPOINT": hub,
            "FRAMEPACK_WEIGHTS_DIR": str(tmp_path / "weights"),
            "FRAMEPACK_ENHANCER_MODEL": f"tiny/model@{REVISION}",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_fetches_from_the_hub(tmp_path: Path, published: Path) -> None:
    """Through the Hub's own client: weights and text, but neither pickles nor code."""
    (published / "pytorch_model.bin").write_bytes(b"pickle")
    (published / "modeling.py").write_bytes(b"code")

    with fake_hub({"tiny/model": published}) as hub:
        result = _fetch_by_command(tmp_path, hub.url)

    assert "tiny/model (0.0 MB): fetched" in result.stdout, result.stderr
    assert {path.name for path in (tmp_path / "weights" / "tiny" / "model").iterdir()} == set(CONTENT)


@pytest.mark.parametrize("host", ["127.0.0.1", "hub.invalid"])
def test_a_hub_that_cannot_be_reached_has_few_tries(tmp_path: Path, host: str) -> None:
    """Neither a refused connection nor a name without an address gets the retries of the Hub's own client."""
    result = _fetch_by_command(tmp_path, f"http://{host}:{free_port()}")

    assert result.returncode == 1
    assert "failed: [Errno" in result.stdout
    assert "Retrying" not in result.stderr


def test_a_hub_that_starts_meanwhile_is_reached(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try is refused, and the next one finds the Hub."""
    port, pauses = free_port(), list[float]()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with ExitStack() as stack:

        def start(seconds: float) -> None:
            pauses.append(seconds)
            stack.enter_context(fake_hub({"tiny/model": published}, port=port))

        monkeypatch.setattr("framepack.models.weights.hub_snapshots.time.sleep", start)
        hub_snapshots._require_hub()

    assert pauses == [1.0]


def test_an_overloaded_hub_is_waited_for(tmp_path: Path, published: Path) -> None:
    """A Hub that is there keeps the patience of its client."""
    with fake_hub({"tiny/model": published}, failures=2) as hub:
        result = _fetch_by_command(tmp_path, hub.url)

    assert "tiny/model (0.0 MB): fetched" in result.stdout, result.stderr
    assert sum("/tree/" in request.path for request in hub.requests) == 3


def test_nothing_is_downloaded_in_offline_mode(tmp_path: Path, published: Path) -> None:
    """HF_HUB_OFFLINE is respected: the command fails with a sentence, and the Hub hears nothing."""
    with fake_hub({"tiny/model": published}) as hub:
        result = _fetch_by_command(tmp_path, hub.url, HF_HUB_OFFLINE="1")

        assert hub.requests == []
    assert result.returncode == 1
    assert "failed: The model tiny/model is not on this worker" in result.stdout
