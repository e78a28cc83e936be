"""Drawing tokens with a generator of one's own."""

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from framepack.models.language.enhancer import SamplingParams, SeededSampler

PARAMS = SamplingParams(temperature=0.5, top_k=30, top_p=0.95)


def _scores(rows: int = 1, *, alike: bool = False) -> torch.Tensor:
    scores = 3 * torch.randn(1 if alike else rows, 200, generator=torch.Generator().manual_seed(1))
    return scores.repeat(rows, 1) if alike else scores


def test_token_frequencies_match_their_probabilities() -> None:
    """Over many draws, frequencies are the probabilities that transformers' own filters give."""
    draws = 4000
    scores = _scores(draws, alike=True)
    filters = LogitsProcessorList([TemperatureLogitsWarper(0.5), TopKLogitsWarper(30), TopPLogitsWarper(0.95)])
    expected = torch.softmax(filters(torch.LongTensor([[0]]), scores[:1]), -1)[0]

    tokens = SeededSampler(PARAMS, range(draws))(None, scores).argmax(-1)

    counted = torch.bincount(tokens, minlength=200) / draws
    assert (expected > 0).sum() > 3
    assert counted[expected == 0].sum() == 0
    assert (counted - expected).abs().max() < 0.03


def test_equal_seeds_sample_equal_tokens() -> None:
    """A row's luck depends on its own seed, not on the rows beside it."""
    scores = _scores(3, alike=True)

    together = [SeededSampler(PARAMS, [7, 8, 7])(None, scores).argmax(-1) for _ in range(2)]
    sampler, alone = SeededSampler(PARAMS, [7]), SeededSampler(PARAMS, [8])

    assert together[0].tolist() == together[1].tolist()
    assert together[0][0] == together[0][2] == sampler(None, scores[:1]).argmax()
    assert together[0][1] == alone(None, scores[:1]).argmax()


def test_the_global_generator_is_not_used() -> None:
    """The generator of the process is left alone."""
    before = torch.get_rng_state()

    SeededSampler(PARAMS, [1, 2])(None, _scores(2))

    assert torch.equal(torch.get_rng_state(), before)


def test_a_low_temperature_chooses_the_most_likely_token() -> None:
    """Near zero, there is no luck."""
    scores = _scores(5)

    drawn = SeededSampler(SamplingParams(temperature=1e-4, top_k=30, top_p=0.95), range(5))(None, scores)

    assert drawn.argmax(-1).tolist() == scores.argmax(-1).tolist()
