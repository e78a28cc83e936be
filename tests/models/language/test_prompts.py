"""How prompts are taken apart, asked for, and cleaned up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack.models.language.prompts import cleaned, joined, messages, split


def _texts(prompt: str) -> list[str]:
    return [part.text for part in split(prompt) if part.text]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("a cat", ["a cat"]),
        ("  a cat\n", ["a cat"]),
        ("[1s: a cat]", ["a cat"]),
        ("[1.5s: a cat][2s-3.5s:a dog]", ["a cat", "a dog"]),
        ("[0s - 2s:  a cat  ] then [3s: a dog]", ["a cat", "a dog"]),
        ("[1s: a [red] cat]", ["a [red] cat"]),
        ("[1s: ] [2s: a dog]", ["a dog"]),
        ("[1s: ]", []),
        ("[a: b]", ["[a: b]"]),
        ("[1s: a cat", ["[1s: a cat"]),
        ("[1: a cat]", ["[1: a cat]"]),
    ],
)
def test_the_texts_of_a_prompt(prompt: str, texts: list[str]) -> None:
    """Sections with a time are texts of their own; anything else is one text."""
    assert _texts(prompt) == texts


def test_what_is_around_the_texts_stays() -> None:
    """Times, brackets and all that lies between them come back as they were."""
    prompt = "Slowly. [1s: a cat ]\n[1.5s-3s:a dog] The end [sic]"

    parts = split(prompt)

    assert joined(parts, ["a cat", "a dog"]) == prompt
    assert joined(parts, ["ONE", "TWO"]) == "Slowly. [1s: ONE ]\n[1.5s-3s:TWO] The end [sic]"


@given(st.lists(st.sampled_from(["[", "]", "1s", "2.5s", "-", ":", " ", "a", "[1s: b]", '"'])).map("".join))
def test_nothing_is_lost(prompt: str) -> None:
    """Put together with its own texts, a prompt with sections is what it was."""
    parts = split(prompt)

    again = joined(parts, [part.text for part in parts if part.text])
    assert again == (prompt if len(parts) > 1 else prompt.strip())


@pytest.mark.parametrize("prompt", ["[1s: " + " " * 9_995, "[1s:" * 2_500, "[1s:" + "[]" * 4_998, "[" + " " * 9_999])
def test_hostile_prompts_take_no_time(prompt: str) -> None:
    """Brackets that never close are read in one go, not again from every place."""
    assert _texts(prompt) == [prompt.strip()]


def test_the_prompt_is_quoted_to_the_model() -> None:
    """The model gets our instructions and, apart from them, the text between quotation marks that it cannot leave."""
    system, user = messages('a sign that says "OPEN"')

    assert (system["role"], user["role"]) == ("system", "user")
    assert "80 to 100 words" in system["content"]
    assert "\"a sign that says 'OPEN'\"" in user["content"]
    assert user["content"].count('"') == 2


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        (' "A cat plays." ', "A cat plays."),
        ("A \u201cbig\u201d cat.\n\nIt plays.", "A big cat. It plays."),
        ("Enhanced prompt: A cat plays.", "A cat plays."),
        ("Enhanced Video Prompt:\nA cat plays.", "A cat plays."),
        ("A cat [2s: and a dog] plays.", "A cat (2s: and a dog) plays."),
        ("A cat's prompt: none", "A cat's prompt: none"),
        ("", ""),
    ],
)
def test_answers_become_prompts(answer: str, prompt: str) -> None:
    """One paragraph without quotation marks, labels and brackets."""
    assert cleaned(answer, complete=True) == prompt


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ("A cat plays. It jumps! Then it sl", "A cat plays. It jumps!"),
        ("A cat plays for 1.5 seconds. And the", "A cat plays for 1.5 seconds."),
        ("A cat plays and", "A cat plays and"),
        ("A cat plays.", "A cat plays."),
    ],
)
def test_an_unfinished_sentence_is_cut_off(answer: str, prompt: str) -> None:
    """Text that ended because it grew too long ends with its last whole sentence, if it has one."""
    assert cleaned(answer, complete=False) == prompt
