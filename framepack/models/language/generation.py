"""What all text-generating networks share: loading from a repository, cancellation and progress."""

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

# Only tensors and text are read, and only from the folder; code that comes with a model is never run.
_SAFE_OPTIONS: Final = {"local_files_only": True, "trust_remote_code": False}


def load_pretrained(model_class: Any, folder: Path, device: Device, dtype: torch.dtype) -> Any:
    """Load a network from its repository's folder.

    Args:
        model_class: A class of transformers.
        folder: Contains a configuration and safetensors files.
        device: Where it will run.
        dtype: Its precision.

    Raises:
        ModelUnavailable: The folder does not contain such a network with all of its weights.
    """
    adopt("transformers")
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        network, found = model_class.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **_SAFE_OPTIONS
        )
    except Exception as error:  # a damaged folder or another kind of model can fail in any way
        if is_out_of_memory(error):
            raise
        raise unusable_files() from error
    if found["missing_keys"] or found["mismatched_keys"] or found["error_msgs"]:  # these would have random values
        raise unusable_files()
    return network.to(device.torch_device).requires_grad_(requires_grad=False).eval()


def load_processor(model_class: Any, folder: Path) -> Any:
    """Load the tokenizer or processor of a network.

    Raises:
        ModelUnavailable: The folder does not contain one.
    """
    try:
        return model_class.from_pretrained(folder, **_SAFE_OPTIONS)
    except Exception as error:  # as above
        raise unusable_files() from error


def unusable_files() -> ModelUnavailable:
    """Return the error for a folder that does not contain the expected model."""
    return ModelUnavailable("The model's files are damaged, incomplete or those of another kind of model.")


class JobStoppingCriteria(StoppingCriteria):
    """A stopping criterion that never stops by itself: it raises if the job is cancelled, and reports progress.

    Args:
        job: The job that generates the text.
        tokens_before: Number of tokens counted for earlier batches of the job.
        max_tokens: Maximum number of tokens of the whole job; None if the progress cannot be estimated from it.
    """

    def __init__(self, job: Job, *, tokens_before: int = 0, max_tokens: int | None = None) -> None:
        self._job = job
        self._tokens_before = tokens_before
        self._max_tokens = max_tokens
        self._steps = 0
        self._started = time.monotonic()

    def __call__(self, input_ids: Tensor, _scores: object, **_: object) -> Tensor:
        """Continue every row.

        Args:
            input_ids: All tokens so far, shape (rows, tokens).
            _scores: Not used.

        Returns:
            False for every row, shape (rows,).

        Raises:
            Cancelled: The job was cancelled.
        """
        self._job.check()
        self._steps += 1
        done = self._tokens_before + self._steps
        part = None if self._max_tokens is None else done / self._max_tokens
        self._job.report(Progress(done, None, time.monotonic() - self._started, part, unit="tokens"))
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
