"""Drawing tokens with a generator of one's own."""

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from framepack.models.language.sampling import Sampler, SamplingParams

CHANCES = SamplingParams(temperature=0.5, most=30, mass=0.95)


def _scores(rows: int = 1, *, alike: bool = False) -> torch.Tensor:
    scores = 3 * torch.randn(1 if alike else rows, 200, generator=torch.Generator().manual_seed(1))
    return scores.repeat(rows, 1) if alike else scores


def test_tokens_come_as_often_as_they_should() -> None:
    """Over many draws, frequencies are the probabilities that transformers' own filters give."""
    draws = 4000
    scores = _scores(draws, alike=True)
    filters = LogitsProcessorList([TemperatureLogitsWarper(0.5), TopKLogitsWarper(30), TopPLogitsWarper(0.95)])
    expected = torch.softmax(filters(torch.LongTensor([[0]]), scores[:1]), -1)[0]

    tokens = Sampler(CHANCES, range(draws))(None, scores).argmax(-1)

    counted = torch.bincount(tokens, minlength=200) / draws
    assert (expected > 0).sum() > 3
    assert counted[expected == 0].sum() == 0
    assert (counted - expected).abs().max() < 0.03


def test_equal_seeds_draw_equal_tokens() -> None:
    """A row's luck depends on its own seed, not on the rows beside it."""
    scores = _scores(3, alike=True)

    together = [Sampler(CHANCES, [7, 8, 7])(None, scores).argmax(-1) for _ in range(2)]
    sampler, alone = Sampler(CHANCES, [7]), Sampler(CHANCES, [8])

    assert together[0].tolist() == together[1].tolist()
    assert together[0][0] == together[0][2] == sampler(None, scores[:1]).argmax()
    assert together[0][1] == alone(None, scores[:1]).argmax()


def test_nobody_elses_luck_changes() -> None:
    """The generator of the process is left alone."""
    before = torch.get_rng_state()

    Sampler(CHANCES, [1, 2])(None, _scores(2))

    assert torch.equal(torch.get_rng_state(), before)


def test_a_low_temperature_takes_the_likeliest() -> None:
    """Near zero, there is no luck."""
    scores = _scores(5)

    drawn = Sampler(SamplingParams(temperature=1e-4, most=30, mass=0.95), range(5))(None, scores)

    assert drawn.argmax(-1).tolist() == scores.argmax(-1).tolist()
