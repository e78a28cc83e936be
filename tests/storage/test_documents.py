"""JSON documents, with both stores: each its own object, any name for it, damaged ones out of the way."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from framepack.errors import InvalidField, NotFound, TooLarge
from framepack.storage.autosave import autosave_enabled, save_autosave
from framepack.storage.base import Storage
from framepack.storage.documents import MAX_BYTES, Documents
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage

NAMES = [
    "My Custom Workflow",
    "4K Upscale + Cinematic",
    "a/b\\c",
    "../../etc/passwd",
    ".hidden",
    " lead",
    "trail. ",
    "100%",
    "%41",
    "日本語",
    "naïve",
    "new\nline",
    "damaged",
    "C:\\x?*<>|",
    "a" * 200,
]


def documents(storage: Storage) -> Documents[dict[str, Any]]:
    """Documents of any shape but those that say otherwise."""

    def parse(content: dict[str, Any]) -> dict[str, Any]:
        if content.get("shape") == "wrong":
            raise InvalidField("shape must be right.")
        return content

    return Documents(storage, "things", parse)


def test_a_saved_document_is_read_back(storage: Storage) -> None:
    """A document comes back as it was, and saving again replaces it and says so."""
    things = documents(storage)

    assert not things.save("one", {"a": 1, "b": ["ü", None, 0.5]})
    assert things.read("one") == {"a": 1, "b": ["ü", None, 0.5]}
    assert things.save("one", {"a": 2})
    assert things.read("one") == {"a": 2}
    assert dict(things.list()) == {"one": {"a": 2}}
    assert [str(stored.key) for stored in storage.list()] == ["state/things/one.json"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_saved(name: str, tmp_path: Any) -> None:
    """What a client calls a document stays its name and never leads out of the folder."""
    things = documents(LocalStorage(tmp_path / "store"))

    things.save(name, {"me": 1})

    assert dict(things.list()) == {name: {"me": 1}}
    assert things.read(name) == {"me": 1}
    assert [path.parent for path in (tmp_path / "store").rglob("*.json")] == [tmp_path / "store" / "state" / "things"]
    assert things.delete(name)
    assert list(things.list()) == []


def test_different_names_have_different_keys(tmp_path: Any) -> None:
    """No two names share an object."""
    things = documents(LocalStorage(tmp_path / "store"))
    for number, name in enumerate(NAMES):
        things.save(name, {"number": number})

    assert {name: things.read(name)["number"] for name in NAMES} == {name: i for i, name in enumerate(NAMES)}


@pytest.mark.parametrize("name", ["", "\ud800", "a" * 300])
def test_an_invalid_name_is_refused(name: str, tmp_path: Any) -> None:
    """Nothing, half a character, or too much is refused."""
    with pytest.raises(InvalidField, match="A name must"):
        documents(LocalStorage(tmp_path / "store")).save(name, {})


def test_a_missing_document_is_not_found(storage: Storage) -> None:
    """Reading it raises, deleting it says no."""
    things = documents(storage)

    with pytest.raises(NotFound):
        things.read("none")
    assert not things.delete("none")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"a": 1',
        b"[1]",
        b"\xff\xfe",
        b'{"shape": "wrong"}',
        b"[" * 60_000,
        b'{"a": "' + b"x" * MAX_BYTES + b'"}',
    ],
)
def test_a_damaged_document_is_set_aside_when_listed(
    storage: Storage, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as not there, its bytes are kept, the log says so once, and the others are served."""
    things = documents(storage)
    things.save("good", {"a": 1})
    storage.put_bytes(Key("state/things/bad.json"), data)

    with caplog.at_level(logging.WARNING):
        assert dict(things.list()) == {"good": {"a": 1}}
        assert dict(things.list()) == {"good": {"a": 1}}

    assert [record.levelname for record in caplog.records if "bad.json" in record.getMessage()] == ["WARNING"]
    assert storage.read(Key("state/damaged/things/bad.json")) == data
    with pytest.raises(NotFound):
        things.read("bad")
    things.save("bad", {"b": 1})
    assert things.read("bad") == {"b": 1}


def test_a_damaged_document_is_set_aside_when_read(storage: Storage) -> None:
    """Reading it by name sets it aside, too."""
    storage.put_bytes(Key("state/things/bad.json"), b"{")

    with pytest.raises(NotFound):
        documents(storage).read("bad")
    assert storage.stat(Key("state/things/bad.json")) is None


def test_objects_that_are_not_documents_are_ignored(storage: Storage) -> None:
    """What is there without being a document is neither listed nor touched."""
    for key in ("state/things/readme.txt", "state/things/deep/one.json", "state/others/one.json"):
        storage.put_bytes(Key(key), b"{}")

    assert list(documents(storage).list()) == []
    assert len(list(storage.list())) == 3


@pytest.mark.parametrize("content", [{"a": float("nan")}, {"a": {1}}])
def test_only_json_is_saved(content: dict[str, Any], tmp_path: Any) -> None:
    """What could not be read back is refused."""
    with pytest.raises(InvalidField):
        documents(LocalStorage(tmp_path / "store")).save("one", content)


def test_a_document_has_a_limit(tmp_path: Any) -> None:
    """One that would not be read is not written."""
    with pytest.raises(TooLarge, match="65536"):
        documents(LocalStorage(tmp_path / "store")).save("one", {"a": "x" * MAX_BYTES})


def test_many_writers_of_different_documents_lose_nothing(storage: Storage) -> None:
    """Forty documents saved at once are forty documents."""
    things = documents(storage)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: things.save(f"n{number}", {"number": number}), range(40)))

    assert dict(things.list()) == {f"n{number}": {"number": number} for number in range(40)}


def test_the_last_of_many_writers_of_one_document_wins(tmp_path: Any) -> None:
    """Forty saves of one document leave one of them, whole."""
    things = documents(LocalStorage(tmp_path / "store"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: things.save("same", {"number": number, "text": "x" * 5000}), range(40)))

    assert things.read("same") in [{"number": number, "text": "x" * 5000} for number in range(40)]


def test_autosave_is_off_until_turned_on(storage: Storage) -> None:
    """The switch lasts in the store, whoever opens it."""
    assert not autosave_enabled(storage)
    save_autosave(storage, enabled=True)
    assert autosave_enabled(storage)
    save_autosave(storage, enabled=False)
    assert not autosave_enabled(storage)


def test_a_damaged_autosave_switch_is_off(storage: Storage) -> None:
    """Text where a yes or no should be neither turns it on nor fails."""
    storage.put_bytes(Key("state/settings/autosave.json"), b'{"enabled": "yes"}')

    assert not autosave_enabled(storage)
