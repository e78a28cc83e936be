"""Caption images with Florence-2."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image
from transformers import Florence2ForConditionalGeneration, Florence2Processor, StoppingCriteriaList

from framepack.models.language.generation import JobStoppingCriteria, load_pretrained, load_processor
from framepack.models.memory.oom import retry_after_oom

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from framepack.job import Job
    from framepack.models.memory.device import Device

_TASK: Final = "<MORE_DETAILED_CAPTION>"
_MAX_NEW_TOKENS: Final = 1024
_BEAMS: Final = 3


class Captioner:
    """Florence-2 on its device. Thread-safe.

    Args:
        folder: Folder of its repository.
        device: Where to run; idle models there are evicted when memory runs out.

    Raises:
        ModelUnavailable: The folder does not contain a Florence-2 model.
    """

    def __init__(self, folder: Path, device: Device) -> None:
        self.device = device
        # The published weights are float16; bfloat16 would lose precision.
        self._dtype = torch.float16 if device.is_cuda else torch.float32
        self._processor_lock = threading.Lock()  # calls change the state of the tokenizer
        self._processor: Any = load_processor(Florence2Processor, folder)
        self._network: Any = load_pretrained(Florence2ForConditionalGeneration, folder, device, self._dtype)
        positions = self._network.config.text_config.max_position_embeddings
        self._max_new_tokens = min(_MAX_NEW_TOKENS, positions - 1)

    def __call__(self, image: NDArray[uint8], job: Job) -> str:
        """Describe an image in one paragraph; deterministic.

        Args:
            image: RGB, shape (height, width, 3), 0 to 255, of any size.
            job: Can cancel the work, and receives its progress.

        Raises:
            Cancelled: The job was cancelled.
            OutOfMemory: It does not fit into memory.
        """
        message = "The worker's memory is too small to caption this image."
        return retry_after_oom(partial(self._caption, image, job), self.device.free_memory, message)

    @torch.inference_mode()
    def _caption(self, image: NDArray[uint8], job: Job) -> str:
        images = Image.fromarray(image)  # with an array, the processor would guess the order of its axes
        with self._processor_lock:
            inputs = self._processor(text=_TASK, images=images, return_tensors="pt")
        output = self._network.generate(
            **inputs.to(self.device.torch_device, self._dtype),
            max_new_tokens=self._max_new_tokens,
            num_beams=_BEAMS,
            do_sample=False,
            stopping_criteria=StoppingCriteriaList([JobStoppingCriteria(job)]),
        )
        text: str = self._processor.batch_decode(output, skip_special_tokens=True)[0]
        return " ".join(text.split())
