"""Code and texts use the words of the field: none of the retired ones is left, in any spelling of identifiers.

``docs/data.md`` is the glossary. A finding here is a word to replace, not to allow: an exception needs a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.support.distribution import tracked

ROOT: Final = Path(__file__).parents[2]
SEARCHED: Final = ("framepack/", "tests/", "tools/", "docs/", "builder/", "benchmarks/", "examples/")
PAGES: Final = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "THIRD_PARTY_NOTICES.md",
    "handler.py",
    "Makefile",
    "Dockerfile",
    "pyproject.toml",
)
SUFFIXES: Final = (".py", ".md", ".sh", ".toml", ".json", ".yml")

WORDS: Final = {
    # the private dialect, with the field's words
    "sound sounds": "audio",
    "soundfile soundtrack": "AudioFile, AudioTrack",
    "picture pictures": "frame (of a video) or image (a still one)",
    "rung rungs": "BatchPlan",
    "tenant tenants": "ResidentModels",
    "chances": "SamplingParams",
    "holdings": "allocated memory",
    "untold": "callback_pending",
    "swept": "removed",
    "relieve": "free_memory",
    "inbetween": "interpolate_frames",
    # British spellings
    "colour colours coloured colouring": "color",
    "neighbour neighbours neighbouring": "neighbor",
    "centre centres centred": "center",
    "grey greys": "gray",
    "behaviour behaviours": "behavior",
    "favour favours favourite": "favor",
    "honour honours": "honor",
    "licence licences": "license",
    "catalogue catalogues": "catalog",
    "judgement": "judgment",
    "artefact artefacts": "artifact",
    "programme programmes": "program",
    "analyse analysed analysing": "analyze",
    "whilst amongst": "while, among",
    "labelled labelling modelled modelling travelled travelling": "one l",
    "normalise normalised quantise quantised requantise requantised recognise recognised organise organised": "-ize",
    "initialise initialised serialise serialised optimise optimised specialise specialised": "-ize",
    "summarise minimise maximise generalise customise synchronise synchronised utilise": "-ize",
}
"""Retired words, several to a line, and what to say instead."""

PATTERNS: Final = {
    r"\bdef _?at_once\b|\.at_once\b": "batch_size",
    r"\bStamps\b": "Timestamps",
    r"\bLosses\b|\blosses[.(=]": "damage",
    r"\bSplitter\b|\bsplitter[.(=]": "OomFallback",
    r"\bis_near_host\b": "is_on_cpu",
    r"\bmake_room\b": "evict_until",
    r"\b(room|held|promised)_bytes\b": "available_bytes, resident_bytes, reserved_bytes",
    r"\bin_a_row\b": "consecutive",
    r"\bat home\b|\b(both|either|its|that) homes?\b": "in host memory, in device memory",
    r"\blies (at|in|on|among|behind|beside|now|outside|there)\b": "is",
    r"\b[Hh]eld frames?\b": "repeated frame",
    r"^class (Live|Seen|Moment|Mark|Freed|Link|Case|Call|Sequence|Fitter|Surroundings|Tell)\b": "a noun of the field",
    r"^ *def (insist|attempt|fitted|surroundings|told|but|look)\(": "a verb of the field",
}
"""Retired identifiers and phrases."""

ALLOWED: Final = {
    ("tests/architecture/test_words.py", ""): "the list of retired words",
    ("docs/settings.md", ""): "generated: mend the settings",
    ("docs/endpoints.md", ""): "generated: mend the operations",
    ("", "frame_sounds"): "a folder in stores that exist",
    ("", '"untold"'): "a field of job records in stores that exist",
    ("", "sound_delay"): "a field of records in stores that exist",
    ("framepack/models/language/prompts.py", "picture"): "part of a prompt, whose words decide what the model writes",
    ("framepack/media/read/normalize.py", "picture types"): "FFmpeg's and H.264's name for I, P and B",
    ("framepack/media/images/decode.py", "_MULTI_PICTURE"): "name of the format MPO, Multi-Picture Object",
    ("tests/media/images/test_decode.py", "multi_picture"): "likewise",
    ("tests/media/read/test_reader.py", "picture_types"): "likewise",
}
"""Exceptions: beginning of the path, and a text in the line; each with its reason."""


@cache
def lines() -> list[tuple[str, int, str]]:
    """Every line to look at, with its file and number."""
    paths = [path for path in tracked() if path.startswith(SEARCHED) or path in PAGES]
    texts = {
        path: (ROOT / path).read_text(encoding="utf-8") for path in paths if path.endswith(SUFFIXES) or path in PAGES
    }
    return [
        (path, number, line)
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if not any(path.startswith(begin) and part in line for begin, part in ALLOWED)
    ]


@cache
def places_of_words() -> dict[str, list[str]]:
    """Where each word is, in lower case; identifiers in snake and camel case count as several words."""
    found: dict[str, list[str]] = {}
    for path, number, line in lines():
        for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", line):
            found.setdefault(word.lower(), []).append(f"{path}:{number}")
    return found


def places_of(pattern: str) -> Iterator[str]:
    """Where a pattern is."""
    matches = re.compile(pattern)
    return (f"{path}:{number}" for path, number, line in lines() if matches.search(line))


@pytest.mark.parametrize(("retired", "instead"), WORDS.items(), ids=WORDS)
def test_a_retired_word_is_nowhere(retired: str, instead: str) -> None:
    """The places are listed, with what to say instead."""
    places = [place for word in retired.split() for place in places_of_words().get(word, [])]

    assert places == [], f"say {instead}"


@pytest.mark.parametrize(("retired", "instead"), PATTERNS.items(), ids=PATTERNS)
def test_a_retired_phrase_is_nowhere(retired: str, instead: str) -> None:
    """The places are listed, with what to say instead."""
    assert list(places_of(retired)) == [], f"say {instead}"


def test_words_are_found_in_identifiers_of_any_case() -> None:
    """The search sees words in snake case, camel case, constants and prose."""
    words = places_of_words()

    assert {"audio", "plan", "framepack", "max", "lines"} <= set(words)
    assert not any(re.search(r"[^a-z]", word) for word in words)
