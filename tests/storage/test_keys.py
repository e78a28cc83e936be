"""Keys and names: what may be one, and what becomes of text that clients send."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from framepack.errors import InvalidField
from framepack.filenames import clean_stem, safe_name
from framepack.storage.keys import Key

SAFE = re.compile(r"[A-Za-z0-9+()]([A-Za-z0-9 ._+()-]{0,98}[A-Za-z0-9+()])?")

TRAVERSALS = [
    "..",
    ".",
    "",
    " ",
    "...",
    "a/..",
    "../a",
    "a/../b",
    "a//b",
    "a/./b",
    "/a",
    "a/",
    "/",
    "../frames-secret",
]
FOREIGN_PATHS = ["\\\\host\\share", "..\\x", "C:\\x", "a\\b", "/etc/passwd"]
ODD_TEXT = {
    "NUL": "a\x00b",
    "CR LF": "a\r\nX: 1",
    "TAB": "a\tb",
    "DEL": "a\x7f",
    "C1": "a\x85b",
    "right-to-left override": "a\u202egpj.exe",
    "lone surrogate": "a\ud800",
    "replacement character": "a\ufffd",
    "zero-width space": "a\u200bb",
    "line separator": "a\u2028b",
    "byte order mark": "\ufeffa",
    "not a character": "a\uffff",
    "private use": "a\ue000",
    "hidden": ".json",
    "trailing dot": "a.",
    "trailing space": "a ",
    "leading no-break space": "\u00a0a",
    "256 bytes": "a" * 256,
    "5000 characters": "a" * 5000,
    "64 emoji": "😀" * 64,
    "1025 bytes": "/".join(["a" * 204] * 5) + "b",
}


@pytest.mark.parametrize("text", TRAVERSALS + FOREIGN_PATHS)
def test_paths_outside_the_store_are_not_keys(text: str) -> None:
    """Nothing climbs, starts at the root or speaks another system's paths."""
    with pytest.raises(InvalidField):
        Key.parse(text)


@pytest.mark.parametrize("text", ODD_TEXT.values(), ids=ODD_TEXT.keys())
def test_invisible_and_overlong_text_is_not_a_key(text: str) -> None:
    """Control, invisible and overlong text is refused before a file system or a header sees it."""
    with pytest.raises(InvalidField) as refusal:
        Key.parse(text)
    assert refusal.value.message.isascii()
    assert refusal.value.message.isprintable()


@pytest.mark.parametrize(
    "text",
    ["a", "a/b.mp4", "a b/c+d (1).mp4", "日本/ü.mp4", "😀.png", "%2e%2e", "~", "a" * 255, "/".join(["a" * 204] * 5)],
)
def test_an_ordinary_name_is_a_key(text: str) -> None:
    """Spaces, plus signs, other scripts and literal percent signs are ordinary."""
    assert str(Key.parse(text)) == text


def test_keys_are_normalized_to_nfc() -> None:
    """The composed and the decomposed spelling of a name are the same key."""
    assert Key.parse(unicodedata.normalize("NFD", "Müller")) == Key.parse("Müller")
    with pytest.raises(InvalidField):
        Key(unicodedata.normalize("NFD", "Müller"))


@pytest.mark.parametrize("segment", ["a/b", "..", "", "/", ".hidden"])
def test_only_one_segment_is_appended(segment: str) -> None:
    """A client's name cannot become two segments or none."""
    folder = Key("presets")
    assert str(folder / "mine.json") == "presets/mine.json"
    with pytest.raises(InvalidField):
        folder / segment


def test_a_key_has_segments_and_a_name() -> None:
    """The name is the last of the segments."""
    key = Key("a/b/c.mp4")
    assert key.segments == ("a", "b", "c.mp4")
    assert key.name == "c.mp4"


@given(st.text(max_size=300))
@example("../a")
def test_every_key_stays_inside_the_store(text: str) -> None:
    """No text that is accepted has a segment with a meaning of its own."""
    try:
        key = Key.parse(text)
    except InvalidField:
        return
    assert all(segment.strip(". ") == segment != "" for segment in key.segments)
    assert len(str(key).encode()) <= 1024
    assert key == Key.parse(str(key)) == Key(str(key))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("holiday", "holiday"),
        ("My clip (final) v1.2+x", "My clip (final) v1.2+x"),
        ("Crème brûlée", "Creme brulee"),
        ("\uff2f\uff2b", "OK"),
        ("../../etc/passwd", "etc_passwd"),
        ("..\\..\\x", "x"),
        ('a";\r\nSet-Cookie: b', "a_Set-Cookie_ b"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("a\x00b", "a_b"),
        ("clip\u202egpj", "clip_gpj"),
        ("видео", "video"),
        ("日本", "video"),
        ("...", "video"),
        ("", "video"),
        ("   ", "video"),
        ("\ud800", "video"),
        ("a" * 5000, "a" * 100),
        ("a" * 99 + "..b", "a" * 99),
    ],
)
def test_text_becomes_a_safe_name(text: str, name: str) -> None:
    """What is fit for a file name stays, everything else becomes an underscore."""
    assert safe_name(text, "video") == name


@given(st.text(max_size=300))
def test_every_text_becomes_a_safe_name(text: str) -> None:
    """Whatever comes in, the name is short, visible ASCII, and a key."""
    name = safe_name(text, "fallback")
    assert SAFE.fullmatch(name)
    assert Key(name).name == name
    assert safe_name(name, "fallback") == name


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("clip", "clip"),
        ("clip_upscaled_x2_241204_143022", "clip_upscaled_x2"),
        ("clip_241204_143022_filtered_241204_143107", "clip_filtered"),
        ("clip_241204_1430", "clip"),
        ("clip_upscaled_241204_143022_0ab9zz", "clip_upscaled"),
        ("clip_upscaled_241204_143022_0ab9zz_loop_2x_241204_150000_7aaaaa", "clip_upscaled_loop_2x"),
        ("clip_241204_143022_looped", "clip_looped"),
        ("clip_241204_143022_2xfast", "clip"),
        ("clip_241204_14302", "clip_241204_14302"),
        ("clip_241204", "clip_241204"),
        ("_241204_143022", "untitled_video"),
        ("__clip__", "clip"),
        ("", "untitled_video"),
        ("日本_241204_143022", "untitled_video"),
        ("_241204_143022.hidden", "hidden"),
    ],
)
def test_times_do_not_accumulate_in_names(name: str, stem: str) -> None:
    """A chain of steps keeps its suffixes and drops the times and ids between them."""
    assert clean_stem(name) == stem
