"""A user's own models in the weights folder."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from framepack.errors import ModelUnavailable
from framepack.models.weights.catalog import Catalog
from framepack.models.weights.checkpoints import read_capped
from framepack.models.weights.networks import load_upscaler_network
from framepack.models.weights.store import WeightsStore
from tests.support.networks import tiny_compact, tiny_rrdb
from tests.support.weights import Payload, checkpoint, fetch_never, published, upscaler_row

CATALOG = Catalog((upscaler_row(published(b"", "Known.pth"), name="Known_x4"),))


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    """A store over an empty folder with a catalog of one model."""
    return WeightsStore(tmp_path, allow_download=False, download=fetch_never, catalog=CATALOG)


def put(store: WeightsStore, filename: str, state: Mapping[str, Tensor]) -> None:
    """Do what a user does."""
    if filename.endswith(".safetensors"):
        safetensors.torch.save_file(dict(state), store.folder / filename)
    else:
        (store.folder / filename).write_bytes(checkpoint(state))


def names(store: WeightsStore) -> list[str]:
    """The models that the store offers."""
    return [row.name for row in store.custom_models()]


def test_checkpoints_in_the_folder_become_models(store: WeightsStore) -> None:
    """Both kinds of file are described by what they hold, and load."""
    put(store, "4x-Mine.pth", tiny_compact())
    put(store, "sharp_x2.safetensors", tiny_rrdb(scale=2))
    rows = store.custom_models()
    assert [(row.name, row.group, row.scale, row.architecture) for row in rows] == [
        ("4x-Mine", "upscaler", 4, "RealESRGAN Compact 8nf 2nc"),
        ("sharp_x2", "upscaler", 2, "ESRGAN 8nf 1nb unshuffle"),
    ]
    assert rows[0].description == "Custom 4x model (RealESRGAN Compact 8nf 2nc)"
    assert [row.memory_mb for row in rows] == [1, 1]
    for row in rows:
        frame = load_upscaler_network(row, store)(torch.rand(1, 3, 8, 12))
        assert frame.shape == (1, 3, 8 * row.scale, 12 * row.scale)


def test_a_missing_folder_has_no_models(tmp_path: Path) -> None:
    """A folder that is not there holds nothing."""
    store = WeightsStore(tmp_path / "none", allow_download=False, download=fetch_never)
    assert store.custom_models() == ()


def test_other_files_are_skipped(store: WeightsStore, caplog: pytest.LogCaptureFixture) -> None:
    """What is no RGB upscaler is left out with one warning each; the good one beside it stays."""
    put(store, "good.pth", tiny_compact())
    put(store, "gray.pth", {key: gray(key, value) for key, value in tiny_compact().items()})
    put(store, "unknown.safetensors", {"layer.weight": torch.ones(2)})
    put(store, "half.pth", {key: value for key, value in tiny_compact().items() if key != "body.2.bias"})
    put(store, "spaces in name.pth", tiny_compact())
    put(store, "Known_x4.safetensors", tiny_compact())
    put(store, "good.safetensors", tiny_compact())
    (store.folder / "text.pth").write_text("no weights")
    (store.folder / "empty.safetensors").write_bytes(b"")
    (store.folder / "folder.pth").mkdir()
    (store.folder / "dangling.pth").symlink_to(store.folder / "nothing")
    put(store, "Known.pth", tiny_compact())  # the catalog's
    put(store, ".good.pth.part.pth", tiny_compact())  # hidden
    (store.folder / "readme.txt").write_text("not mine")
    with caplog.at_level(logging.WARNING, logger="framepack"):
        assert names(store) == ["good"]
        assert names(store) == ["good"]
    assert sorted(record.getMessage().partition(" is skipped: ")[0] for record in caplog.records) == [
        "Known_x4.safetensors",
        "dangling.pth",
        "empty.safetensors",
        "folder.pth",
        "good.safetensors",
        "gray.pth",
        "half.pth",
        "spaces in name.pth",
        "text.pth",
        "unknown.safetensors",
    ]


def gray(key: str, value: Tensor) -> Tensor:
    """The tensor of a network that reads and writes one channel."""
    if key == "body.0.weight":
        return value[:, :1].contiguous()
    return value[:16].contiguous() if key.startswith("body.6.") else value


def test_a_hostile_pickle_is_not_executed(store: WeightsStore, tmp_path: Path) -> None:
    """A pickle that would run code is skipped without running it."""
    payload = {"params": Payload(tmp_path / "marker")}
    torch.save(payload, store.folder / "zip.pth")
    (store.folder / "bare.pth").write_bytes(pickle.dumps(payload))
    assert names(store) == []
    assert not (tmp_path / "marker").exists()


def test_each_version_of_a_file_is_read_once(store: WeightsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged file is not read again, not even by many threads; a changed one is."""
    put(store, "mine.pth", tiny_compact())
    reads: list[Path] = []

    def counted(path: Path) -> bytes:
        reads.append(path)
        return read_capped(path)

    monkeypatch.setattr("framepack.models.weights.custom.read_capped", counted)
    with ThreadPoolExecutor(8) as pool:
        listings = list(pool.map(lambda _: store.custom_models(), range(8)))
    assert all(len(rows) == 1 and rows == listings[0] for rows in listings)
    assert len(reads) == 1

    put(store, "mine.pth", tiny_compact(scale=2))
    assert [row.scale for row in store.custom_models()] == [2]
    (store.folder / "mine.pth").unlink()
    assert store.custom_models() == ()


def test_a_skipped_file_is_read_again_after_a_change(store: WeightsStore) -> None:
    """A file that was still being copied is offered when it is whole, a rival when it is alone."""
    content = checkpoint(tiny_compact())
    (store.folder / "mine.pth").write_bytes(content[:1000])
    put(store, "mine.safetensors", tiny_compact(scale=2))
    assert names(store) == []
    (store.folder / "mine.pth").write_bytes(content)
    assert [row.scale for row in store.custom_models()] == [4]
    (store.folder / "mine.pth").unlink()
    assert [row.scale for row in store.custom_models()] == [2]


def test_a_replaced_file_is_not_loaded_under_the_old_row(store: WeightsStore) -> None:
    """A file that changed after it was described is refused, until it is described anew."""
    put(store, "mine.pth", tiny_compact(seed=1))
    (row,) = store.custom_models()
    put(store, "mine.pth", tiny_compact(seed=2))
    os.utime(store.folder / "mine.pth", ns=(1, 1))
    with pytest.raises(ModelUnavailable, match="not the published one"):
        load_upscaler_network(row, store)
    (row,) = store.custom_models()
    assert load_upscaler_network(row, store).scale == 4
