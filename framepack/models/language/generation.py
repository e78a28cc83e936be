"""What networks that write text share: loading their repositories, and watching them write."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import StoppingCriteria
from transformers.utils.logging import disable_progress_bar

from framepack.errors import ModelUnavailable
from framepack.job import Progress
from framepack.logs import adopt
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor

    from framepack.job import Job
    from framepack.models.memory.device import Device

# Nothing but tensors and text is read, from this folder alone; code that comes with a model never runs.
_SAFELY: Final = {"local_files_only": True, "trust_remote_code": False}


def load_network(kind: Any, folder: Path, device: Device, dtype: torch.dtype) -> Any:
    """Load a network from its repository's folder.

    Args:
        kind: one of transformers' classes.
        folder: holds a configuration and safetensors files.
        device: where it will run.
        dtype: its precision there.

    Raises:
        ModelUnavailable: the folder holds no such network, or not all of its weights.
    """
    adopt("transformers")
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        network, found = kind.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **_SAFELY
        )
    except Exception as error:  # a damaged or foreign folder can fail anywhere, and all means the same
        if is_out_of_memory(error):
            raise
        raise unreadable() from error
    if found["missing_keys"] or found["mismatched_keys"] or found["error_msgs"]:  # would be filled with noise
        raise unreadable()
    return network.to(device.place).requires_grad_(requires_grad=False).eval()


def load_reader(kind: Any, folder: Path) -> Any:
    """Load the tokenizer or processor beside a network.

    Raises:
        ModelUnavailable: the folder holds none.
    """
    try:
        return kind.from_pretrained(folder, **_SAFELY)
    except Exception as error:  # as above
        raise unreadable() from error


def unreadable() -> ModelUnavailable:
    """The error for a folder that does not hold what it should."""
    return ModelUnavailable("The model's files are damaged, incomplete or those of another kind of model.")


class Watch(StoppingCriteria):
    """Looks over a network's shoulder after every token: stops it when the job is cancelled, and reports progress.

    Args:
        job: whose work it is.
        begun: tokens that the job has written before.
        most: tokens that the job writes at most, or None if that says nothing about its end.
    """

    def __init__(self, job: Job, *, begun: int = 0, most: int | None = None) -> None:
        self._job = job
        self._begun = begun
        self._most = most
        self._steps = 0
        self._started = time.monotonic()

    def __call__(self, input_ids: Tensor, _scores: object, **_: object) -> Tensor:
        """Let every row go on.

        Args:
            input_ids: What there is so far, shape (rows, tokens).
            _scores: Not looked at.

        Returns:
            All false, shape (rows,).

        Raises:
            Cancelled: the job was cancelled.
        """
        self._job.check()
        self._steps += 1
        done = self._begun + self._steps
        part = None if self._most is None else done / self._most
        self._job.report(Progress(done, None, time.monotonic() - self._started, part, unit="tokens"))
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
