"""Error messages suggest the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from framepack.spelling import NEW_SENTENCE, did_you_mean


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("wram", ["cold", "warm"], "; did you mean warm?"),
        ("wram", {"cold": "--cold", "warm": "--warm"}, "; did you mean --warm?"),
        ("vintage", ["cold", "warm"], "."),
        ("vintage", [], "."),
        ("w" * 80, ["w" * 79], f"; did you mean {'w' * 79}?"),
        ("w" * 81, ["w" * 79], "."),
    ],
)
def test_the_most_similar_name_is_suggested(
    word: str, known: Iterable[str] | Mapping[str, str], expected: str
) -> None:
    """It is shown like the caller shows names; without a similar one the sentence just ends."""
    assert did_you_mean(word, known) == expected


def test_several_names_are_suggested_in_order() -> None:
    """As many as the caller allows, in a sentence of their own if it wants one."""
    assert did_you_mean("blu", ["blur", "blue", "red"], start=NEW_SENTENCE, most=3) == ". Did you mean blue or blur?"
