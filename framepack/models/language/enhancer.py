"""The model that writes short prompts out into detailed ones."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from framepack.errors import InvalidField, OutOfMemory
from framepack.models.language.generation import Watch, load_network, load_reader, unreadable
from framepack.models.language.prompts import cleaned, joined, messages, split
from framepack.models.language.sampling import Sampler, SamplingParams
from framepack.models.memory.oom import retry_after_oom

if TYPE_CHECKING:
    from framepack.job import Job
    from framepack.models.memory.device import Device

MAX_NEW_TOKENS: Final = 256
"""Enough for the 80 to 100 words that are asked for, which are about 130 tokens."""

_CHANCES: Final = SamplingParams(temperature=0.5, most=30, mass=0.95)
_MOST_AT_ONCE: Final = 8
_SEED_BITS: Final = 32


def enhancer_dtype(device: Device) -> torch.dtype:
    """The precision to run in: the published weights are bfloat16; without it, half on GPUs and single on CPUs."""
    if device.is_cuda:
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bfloat16 else torch.float16
    return torch.bfloat16 if device.has_bfloat16 else torch.float32


class Enhancer:
    """A chat model at work; several threads may use it.

    Args:
        folder: its repository.
        device: where to run; idle models leave it when memory runs out.
        max_new_tokens: most tokens that one text is written out to.

    Raises:
        ModelUnavailable: the folder does not hold a chat model.
    """

    def __init__(self, folder: Path, device: Device, *, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self.device = device
        self._max_new_tokens = max_new_tokens
        self._tokenizer: Any = load_reader(AutoTokenizer, folder)
        if self._tokenizer.chat_template is None:
            raise unreadable()
        self._tokenizer.padding_side = "left"  # the texts end where the answers begin
        self._reading = threading.Lock()  # tokenizers change themselves when they pad
        self._network: Any = load_network(AutoModelForCausalLM, folder, device, enhancer_dtype(device))
        self._reserved = sorted(self._tokenizer.get_added_vocab(), key=len, reverse=True)
        end = self._tokenizer.eos_token_id
        self._ends = {end, *_listed(self._network.generation_config.eos_token_id)} - {None}
        self._pad = end if self._tokenizer.pad_token_id is None else self._tokenizer.pad_token_id

    def __call__(self, prompt: str, job: Job, *, seed: int | None = None) -> str:
        """Write a prompt out, or each of its sections.

        Args:
            prompt: As in `split`.
            job: Stops the work and hears of its progress.
            seed: Equal seeds write equal texts on the same machine; None: another text every time.

        Returns:
            The prompt with each of its texts written out; one that the model has nothing to say to stays.

        Raises:
            InvalidField: a text is too long for the model.
            Cancelled: the job was cancelled.
            OutOfMemory: not even one text at a time fits.
        """
        parts = split(prompt)
        texts = [part.text for part in parts if part.text]
        start = secrets.randbits(_SEED_BITS) if seed is None else seed
        written: list[str] = []
        at_once = _MOST_AT_ONCE
        while len(written) < len(texts):
            first = len(written)
            batch = texts[first : first + at_once]
            watch = partial(Watch, job, begun=first * self._max_new_tokens, most=len(texts) * self._max_new_tokens)
            try:
                refusal = "The worker's memory is too small to enhance this prompt."
                written += retry_after_oom(
                    partial(self._written, batch, start + first, watch), self.device.free_memory, refusal
                )
            except OutOfMemory:
                if len(batch) == 1:
                    raise
                at_once = len(batch) // 2
        return joined(parts, written)

    @torch.inference_mode()
    def _written(self, texts: Sequence[str], seed: int, watch: partial[Watch]) -> list[str]:
        """Write some texts out at the same time."""
        inputs = self._inputs(texts)
        output = self._network.generate(
            **inputs.to(self.device.place),
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_new_tokens=self._max_new_tokens,
                do_sample=False,  # the sampler has drawn already
                eos_token_id=sorted(self._ends),
                pad_token_id=self._pad,
            ),
            logits_processor=LogitsProcessorList([Sampler(_CHANCES, range(seed, seed + len(texts)))]),
            stopping_criteria=StoppingCriteriaList([watch()]),
        )
        answers = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._text(answer) or text for answer, text in zip(answers, texts, strict=True)]

    def _inputs(self, texts: Sequence[str]) -> Any:
        """Tokens of the conversations, padded on the left, shape (texts, tokens), with their mask.

        Raises:
            InvalidField: one is too long.
        """
        conversations = [messages(self._harmless(text)) for text in texts]
        with self._reading:
            inputs = self._tokenizer.apply_chat_template(
                conversations, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
            )
        most = self._network.config.max_position_embeddings
        if inputs["input_ids"].shape[1] + self._max_new_tokens > most:
            raise InvalidField(f"The prompt is too long for this model, which has room for {most} tokens in all.")
        return inputs

    def _harmless(self, text: str) -> str:
        """Take out what the tokenizer would read as a mark of its own, such as the end of a turn."""
        for mark in self._reserved:
            text = text.replace(mark, " ")
        return text

    def _text(self, answer: list[int]) -> str:
        """The prompt that an answer's tokens spell; empty if they spell none."""
        text = self._tokenizer.decode(answer, skip_special_tokens=True)
        return cleaned(text, complete=not self._ends.isdisjoint(answer))


def _listed(ids: int | list[int] | None) -> list[int | None]:
    return ids if isinstance(ids, list) else [ids]  # type: ignore[return-value]
