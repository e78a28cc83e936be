"""How prompts are taken apart, asked for, and cleaned up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack.models.language.prompts import chat_messages, clean_answer, join_prompt, split_prompt


def _texts(prompt: str) -> list[str]:
    return [part.text for part in split_prompt(prompt) if part.text]


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
def test_split_prompt_finds_the_texts(prompt: str, texts: list[str]) -> None:
    """Sections with a time are texts of their own; anything else is one text."""
    assert _texts(prompt) == texts


def test_strings_around_the_texts_are_kept() -> None:
    """Times, brackets and all that lies between them come back as they were."""
    prompt = "Slowly. [1s: a cat ]\n[1.5s-3s:a dog] The end [sic]"

    parts = split_prompt(prompt)

    assert join_prompt(parts, ["a cat", "a dog"]) == prompt
    assert join_prompt(parts, ["ONE", "TWO"]) == "Slowly. [1s: ONE ]\n[1.5s-3s:TWO] The end [sic]"


@given(st.lists(st.sampled_from(["[", "]", "1s", "2.5s", "-", ":", " ", "a", "[1s: b]", '"'])).map("".join))
def test_split_and_join_restore_any_prompt(prompt: str) -> None:
    """Put together with its own texts, a prompt with sections is what it was."""
    parts = split_prompt(prompt)

    again = join_prompt(parts, [part.text for part in parts if part.text])
    assert again == (prompt if len(parts) > 1 else prompt.strip())


@pytest.mark.parametrize("prompt", ["[1s: " + " " * 9_995, "[1s:" * 2_500, "[1s:" + "[]" * 4_998, "[" + " " * 9_999])
def test_hostile_prompts_are_split_in_linear_time(prompt: str) -> None:
    """Brackets that never close are read in one go, not again from every place."""
    assert _texts(prompt) == [prompt.strip()]


def test_chat_messages_quote_the_prompt() -> None:
    """The model gets our instructions and, apart from them, the text between quotation marks that it cannot leave."""
    system, user = chat_messages('a sign that says "OPEN"')

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
def test_clean_answer_removes_quotes_labels_and_brackets(answer: str, prompt: str) -> None:
    """One paragraph without quotation marks, labels and brackets."""
    assert clean_answer(answer, complete=True) == prompt


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ("A cat plays. It jumps! Then it sl", "A cat plays. It jumps!"),
        ("A cat plays for 1.5 seconds. And the", "A cat plays for 1.5 seconds."),
        ("A cat plays and", "A cat plays and"),
        ("A cat plays.", "A cat plays."),
    ],
)
def test_clean_answer_removes_an_unfinished_sentence(answer: str, prompt: str) -> None:
    """Text that ended because it grew too long ends with its last whole sentence, if it has one."""
    assert clean_answer(answer, complete=False) == prompt
