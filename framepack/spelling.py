"""How error messages show names and values that somebody gave, and what they suggest for misspelled ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

SAME_SENTENCE: Final = "; did you mean"
NEW_SENTENCE: Final = ". Did you mean"

_MAX_SHOWN: Final = 80  # comparing takes time and memory in proportion to the length of a word, and clients choose it


def shortened(text: str) -> str:
    """Text for a message: at most 80 characters of it, and three dots if it has more."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def did_you_mean(
    word: str, known: Iterable[str] | Mapping[str, str], *, start: str = SAME_SENTENCE, most: int = 1
) -> str:
    """Return the end of a sentence about an unknown word: the question whether a similar one was meant.

    Args:
        word: What was given; nothing is similar to more than 80 characters.
        known: What it is compared with; a mapping has the text to show for each.
        start: How the question begins.
        most: How many similar words are named.

    Returns:
        Such as ``; did you mean warm?``, or a period if no known word is similar.
    """
    shown = known if isinstance(known, Mapping) else {each: each for each in known}
    similar = difflib.get_close_matches(word, shown, n=most) if len(word) <= _MAX_SHOWN else []
    return f"{start} {' or '.join(sorted(shown[each] for each in similar))}?" if similar else "."
