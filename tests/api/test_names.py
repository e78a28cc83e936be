"""The one type of every name that a client chooses."""

from __future__ import annotations

import unicodedata

import hypothesis.strategies as st
import pytest
from hypothesis import given

from framepack.api.names import MAX_BYTES, MAX_CHARACTERS, Name, PresetName, checked_name, is_name
from framepack.api.schemas import Request
from framepack.errors import InvalidField
from framepack.storage.keys import Key

GOOD = [
    "a",
    "frame_000042.png",
    "video_extracted_every_5_241204_143022_1a2b3c",
    "4K Upscale + Cinematic",
    "My look (v1.2), the best!",
    "Ma's & Pa's #1",
    "über",
    "日本語のプリセット",
    "Ночь",
    "नमस्ते",
    "con-fusion",
    "console",
    "a" * MAX_CHARACTERS,
    "日" * (MAX_BYTES // 3),
]
BAD = [
    *("", " ", ".", "..", "...", " a", "a ", ".a", "a.", "_a", "-a", "\t"),
    *("a/b", "a\\b", "/etc/passwd", "../x", "..\\x", "C:\\x", "\\\\host\\share", "x:stream", "a|b", "a*b", "a?b"),
    *("a\x00b", "a\rb", "a\nb", "a\tb", "a\x7fb", "a\x85b", "a\u2028b"),
    *("a\u202eb", "a\u200bb", "a\ufeffb", "a\u00adb", "a\ud800b", "a\ufffdb", "a\ue000b", "\uff2f\uff2b", "ﬁne"),
    *("%2e%2e", "%252e", "a%00b", 'a"b', "a;b", "a<b>", "a`b", "$a", "a^b", "{a}"),
    *("con", "CON", "nul.png", "Aux.txt", "com1", "LPT9.a.b", "prn"),
    *("n\u043ene", "\u0421ool", "pay\u03c1al"),
    *("a" * (MAX_CHARACTERS + 1), "日" * (MAX_BYTES // 3 + 1), "x" * 5000, "\U0001f600" * 64),
]


class Called(Request):
    """A request with both kinds of names."""

    name: Name = "name"
    preset: PresetName = "preset"


@pytest.mark.parametrize("name", GOOD)
def test_names_in_any_script_are_accepted(name: str) -> None:
    """These are letters and digits of any alphabet, spaces and harmless punctuation, unchanged."""
    assert checked_name(name) == name
    assert is_name(name)


@pytest.mark.parametrize("name", BAD)
def test_harmful_names_are_refused(name: str) -> None:
    """These have separators, control or invisible characters or lookalikes, are device names, or are too long."""
    with pytest.raises(ValueError, match=r"^(a name|text) "):
        checked_name(name)
    assert not is_name(name)


def test_names_are_normalized_to_nfc() -> None:
    """Decomposed letters become composed ones."""
    typed = unicodedata.normalize("NFD", "über")

    assert checked_name(typed) == "über"
    assert not is_name(typed)


def test_a_long_name_is_refused_before_its_characters_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take many seconds for 60 million of them."""
    monkeypatch.setattr("framepack.api.names.encodable", lambda _text: pytest.fail("looked at each character"))
    with pytest.raises(ValueError, match=r"^a name of 1 to 100 characters"):
        checked_name("a" * 401)


def test_the_error_names_the_field_the_rule_and_the_value() -> None:
    """It is one sentence."""
    with pytest.raises(
        Exception, match=r"^name must be a name of plain letters, digits, spaces and the signs .*, not "
    ):
        Called.parse({"name": "a/b"})


def test_spaces_around_a_preset_name_are_stripped() -> None:
    """Other invisible characters are refused; spaces only are no name."""
    assert Called.parse({"preset": "  My look "}).preset == "My look"
    assert Called.parse({"preset": "   "}).model_fields_set == set()
    for name in ("My look\n", "\tlook", "\u00a0look"):
        with pytest.raises(InvalidField, match=r"^preset must be "):
            Called.parse({"preset": name})


@given(st.text())
def test_every_accepted_name_is_a_key_segment(text: str) -> None:
    """It can also be used in a quoted header value and in the path of a URL, unchanged."""
    try:
        name = checked_name(text)
    except ValueError:
        return
    assert checked_name(name) == name
    assert (Key("state") / name).name == name
    assert not set(name) & set('/\\"\'"<>%;\r\n\x00') - {"'"}
