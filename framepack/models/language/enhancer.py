"""Expand short prompts into detailed ones with a chat model."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from framepack.errors import InvalidField, OutOfMemory
from framepack.models.language.generation import JobStoppingCriteria, load_pretrained, load_processor, unusable_files
from framepack.models.language.prompts import chat_messages, clean_answer, join_prompt, split_prompt
from framepack.models.memory.oom import retry_after_oom

if TYPE_CHECKING:
    from torch import Tensor

    from framepack.job import Job
    from framepack.models.memory.device import Device

MAX_NEW_TOKENS: Final = 256
"""Enough for the requested 80 to 100 words, which are about 130 tokens."""

_MAX_BATCH: Final = 8
_SEED_BITS: Final = 32
_TORCH_SEED_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Parameters of sampling.

    Attributes:
        temperature: Divisor of the logits; near 0 the most likely token is always chosen.
        top_k: Number of most likely tokens to choose from.
        top_p: Of these, only the most likely ones that together reach this probability.
    """

    temperature: float
    top_k: int
    top_p: float


_SAMPLING: Final = SamplingParams(temperature=0.5, top_k=30, top_p=0.95)


class SeededSampler(LogitsProcessor):
    """Samples the next token of every row with a random generator per row.

    Sampling in transformers uses PyTorch's generator, which the whole process shares. A seed there would change the
    results of jobs that run at the same time, and these jobs would change the result of the seed. So this processor
    samples the token and leaves it as the only possible one, and generation itself is greedy.

    Args:
        params: Parameters of sampling.
        seeds: One per row; equal seeds sample equal tokens from equal logits.
    """

    def __init__(self, params: SamplingParams, seeds: Sequence[int]) -> None:
        self._params = params
        self._generators = [torch.Generator().manual_seed(seed % 2**_TORCH_SEED_BITS) for seed in seeds]

    def __call__(self, _input_ids: Tensor | None, scores: Tensor) -> Tensor:
        """Sample a token for each row.

        Args:
            _input_ids: Not used.
            scores: Logits, shape (rows, vocabulary), float.

        Returns:
            0 for the sampled token and minus infinity for all others, in the same shape.
        """
        top = torch.topk(scores.float(), min(self._params.top_k, scores.shape[-1]))  # most likely first
        probabilities = torch.softmax(top.values / self._params.temperature, -1)
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= self._params.top_p, 0).cpu()
        sampled = [
            torch.multinomial(row, 1, generator=generator)
            for row, generator in zip(probabilities, self._generators, strict=True)
        ]
        tokens = top.indices.gather(1, torch.stack(sampled).to(scores.device))
        return torch.full_like(scores, -torch.inf).scatter(1, tokens, 0)


def enhancer_dtype(device: Device) -> torch.dtype:
    """Choose the precision: bfloat16 like the published weights, else half precision on GPUs and single on CPUs."""
    if device.is_cuda:
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bfloat16 else torch.float16
    return torch.bfloat16 if device.has_bfloat16 else torch.float32


class Enhancer:
    """A chat model that expands prompts. Thread-safe.

    Args:
        folder: Folder of its repository.
        device: Where to run; idle models there are evicted when memory runs out.
        max_new_tokens: Maximum number of tokens per expanded text.

    Raises:
        ModelUnavailable: The folder does not contain a chat model.
    """

    def __init__(self, folder: Path, device: Device, *, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self.device = device
        self._max_new_tokens = max_new_tokens
        self._tokenizer: Any = load_processor(AutoTokenizer, folder)
        if self._tokenizer.chat_template is None:
            raise unusable_files()
        self._tokenizer.padding_side = "left"  # so that all texts of a batch end where their answers begin
        self._tokenizer_lock = threading.Lock()  # padding changes a tokenizer's state
        self._network: Any = load_pretrained(AutoModelForCausalLM, folder, device, enhancer_dtype(device))
        self._special_tokens = sorted(self._tokenizer.get_added_vocab(), key=len, reverse=True)
        end = self._tokenizer.eos_token_id
        self._end_tokens = {end, *_listed(self._network.generation_config.eos_token_id)} - {None}
        self._pad_token = end if self._tokenizer.pad_token_id is None else self._tokenizer.pad_token_id

    def __call__(self, prompt: str, job: Job, *, seed: int | None = None) -> str:
        """Expand a prompt, or each of its sections.

        Sections are expanded in batches. When memory runs out, the batch is halved; what is finished is kept.

        Args:
            prompt: A prompt as described at ``split_prompt``.
            job: Can cancel the work, and receives its progress.
            seed: Equal seeds give equal texts on the same machine; None: a random seed.

        Returns:
            The prompt with each of its texts expanded; a text without an answer of the model stays unchanged.

        Raises:
            InvalidField: A text is too long for the model.
            Cancelled: The job was cancelled.
            OutOfMemory: Not even a single text fits into memory.
        """
        parts = split_prompt(prompt)
        texts = [part.text for part in parts if part.text]
        first_seed = secrets.randbits(_SEED_BITS) if seed is None else seed
        expanded: list[str] = []
        batch_size = _MAX_BATCH
        while len(expanded) < len(texts):
            first = len(expanded)
            batch = texts[first : first + batch_size]
            criteria = partial(
                JobStoppingCriteria,
                job,
                tokens_before=first * self._max_new_tokens,
                max_tokens=len(texts) * self._max_new_tokens,
            )
            try:
                message = "The worker's memory is too small to enhance this prompt."
                expanded += retry_after_oom(
                    partial(self._expand, batch, first_seed + first, criteria), self.device.free_memory, message
                )
            except OutOfMemory:
                if len(batch) == 1:
                    raise
                batch_size = len(batch) // 2
        return join_prompt(parts, expanded)

    @torch.inference_mode()
    def _expand(self, texts: Sequence[str], seed: int, criteria: partial[JobStoppingCriteria]) -> list[str]:
        """Expand texts in one batch; their seeds are ``seed`` and the numbers after it."""
        inputs = self._inputs(texts)
        output = self._network.generate(
            **inputs.to(self.device.torch_device),
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_new_tokens=self._max_new_tokens,
                do_sample=False,  # the sampler has already chosen the token
                eos_token_id=sorted(self._end_tokens),
                pad_token_id=self._pad_token,
            ),
            logits_processor=LogitsProcessorList([SeededSampler(_SAMPLING, range(seed, seed + len(texts)))]),
            stopping_criteria=StoppingCriteriaList([criteria()]),
        )
        answers = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._decoded(answer) or text for answer, text in zip(answers, texts, strict=True)]

    def _inputs(self, texts: Sequence[str]) -> Any:
        """Tokenize the conversations: token ids, padded on the left, shape (texts, tokens), and the attention mask.

        Raises:
            InvalidField: A text is too long.
        """
        conversations = [chat_messages(self._without_special_tokens(text)) for text in texts]
        with self._tokenizer_lock:
            inputs = self._tokenizer.apply_chat_template(
                conversations, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
            )
        context = self._network.config.max_position_embeddings
        if inputs["input_ids"].shape[1] + self._max_new_tokens > context:
            raise InvalidField(f"The prompt is too long for this model, which has room for {context} tokens in all.")
        return inputs

    def _without_special_tokens(self, text: str) -> str:
        """Remove strings that the tokenizer would turn into special tokens, such as the end of a turn."""
        for token in self._special_tokens:
            text = text.replace(token, " ")
        return text

    def _decoded(self, answer: list[int]) -> str:
        """Decode an answer into a prompt; empty if there is none in it."""
        text = self._tokenizer.decode(answer, skip_special_tokens=True)
        return clean_answer(text, complete=not self._end_tokens.isdisjoint(answer))


def _listed(ids: int | list[int] | None) -> list[int | None]:
    return ids if isinstance(ids, list) else [ids]  # type: ignore[return-value]
