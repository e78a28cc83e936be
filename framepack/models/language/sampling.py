"""Draw tokens from a network's scores with a generator of one's own, so that jobs do not share their luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from transformers import LogitsProcessor

_SEED_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How daring the draw is.

    Attributes:
        temperature: scores are divided by it: near 0 the likeliest token always wins.
        most: tokens that are considered at all.
        mass: of those, the likeliest that together have this probability.
    """

    temperature: float
    most: int
    mass: float


class Sampler(LogitsProcessor):
    """Chooses every row's next token; for networks that take the token with the highest score.

    transformers draws from torch's one generator for the whole process: there, a seed would change what other jobs
    get, and other jobs what a seed gets.

    Args:
        chances: how to draw.
        seeds: one per row; equal seeds draw equal tokens from equal scores.
    """

    def __init__(self, chances: SamplingParams, seeds: Sequence[int]) -> None:
        self._chances = chances
        self._generators = [torch.Generator().manual_seed(seed % 2**_SEED_BITS) for seed in seeds]

    def __call__(self, _input_ids: Tensor | None, scores: Tensor) -> Tensor:
        """Draw a token for each row.

        Args:
            _input_ids: Not looked at.
            scores: Logits, shape (rows, vocabulary), float.

        Returns:
            0 for the token that was drawn and minus infinity for all others, in the same shape.
        """
        top = torch.topk(scores.float(), min(self._chances.most, scores.shape[-1]))  # the likeliest first
        probabilities = torch.softmax(top.values / self._chances.temperature, -1)
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= self._chances.mass, 0).cpu()
        drawn = [
            torch.multinomial(row, 1, generator=generator)
            for row, generator in zip(probabilities, self._generators, strict=True)
        ]
        tokens = top.indices.gather(1, torch.stack(drawn).to(scores.device))
        return torch.full_like(scores, -torch.inf).scatter(1, tokens, 0)
