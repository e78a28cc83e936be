"""Fetch repositories from the Hugging Face Hub, and find those that its own tools have fetched before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import DiskFull, ModelUnavailable, is_disk_full
from framepack.logs import adopt, is_terminal

if TYPE_CHECKING:
    from framepack.models.weights.language_catalog import Repository

WANTED: Final = ("*.safetensors", "*.json", "*.txt", "*.jinja")
"""What is fetched of a repository: weights that hold nothing but tensors, and text. No pickles, no code."""


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids the Hub's tools to use the network."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def cache_folder() -> Path:
    """The cache of the Hub's own tools, wherever ``HF_HOME`` and ``HF_HUB_CACHE`` put it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def snapshot_in(cache: Path, repository: Repository) -> Path:
    """Where a cache in the Hub's layout keeps the pinned revision, if it has it."""
    return cache / f"models--{repository.name.replace('/', '--')}" / "snapshots" / repository.revision


def download(repository: Repository, to: Path) -> None:
    """Fetch the pinned revision into the folder ``to``; what an earlier try left there is used again.

    Raises:
        ModelUnavailable: the Hub cannot be reached, or does not give it away.
        DiskFull: there is no room for it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    adopt("huggingface_hub")
    if not is_terminal():
        disable_progress_bars()
    try:
        snapshot_download(repository.name, revision=repository.revision, local_dir=to, allow_patterns=list(WANTED))
    except Exception as error:  # its HTTP and storage libraries each have errors of their own
        if is_disk_full(error):
            raise DiskFull(f"There is no room in the weights folder for {repository.name}.") from error
        raise ModelUnavailable(
            f"The model {repository.name} could not be fetched from the Hugging Face Hub: {remedy(repository)}."
        ) from error


def remedy(repository: Repository) -> str:
    """What helps when a repository is missing."""
    if not repository.revision:
        return "put its files there"
    return f"run `python -m framepack weights fetch {repository.name}` where it can be reached"
