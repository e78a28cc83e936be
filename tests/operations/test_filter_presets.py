"""Filter presets: listed, saved, replaced, deleted for good, and used by whatever takes a preset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from framepack.api.filter_settings import FILTER_PRESETS
from framepack.storage.keys import Key
from tests.support.clips import Spec, make_clip
from tests.support.readback import psnr, read_back
from tests.support.runs import Bench, bench

BUILT_IN = ["none", "cinematic", "cool", "dramatic", "vintage", "warm"]
LOOK = {"brightness": -20.5, "saturation": 0, "film_grain_strength": 0}


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker with no presets of clients."""
    return bench(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A short clip."""
    return make_clip(tmp_path / "clip.mp4", Spec(count=4))


def listed(worker: Bench) -> dict[str, Any]:
    """All presets by name, in their order."""
    answer = worker.run("list_filter_presets")
    assert answer["message"] == f"Found {len(answer['presets'])} filter preset(s)"
    assert answer["success"] is True
    return dict(answer["presets"])


def save(worker: Bench, name: str, **settings: Any) -> str:
    """Save a preset; the answer's sentence, or the error's."""
    answer = worker.run("save_filter_preset", name=name, settings=settings)
    return str(answer.get("message") or answer["error"])


def delete(worker: Bench, name: str) -> str:
    """Delete a preset; the answer's sentence, or the error's."""
    answer = worker.run("delete_filter_preset", name=name)
    return str(answer.get("message") or answer["error"])


def test_the_six_built_in_presets_are_listed(worker: Bench) -> None:
    """`none` first, then the others by name, each with all its numbers."""
    found = listed(worker)

    assert list(found) == BUILT_IN
    assert found == {name: preset.model_dump() for name, preset in FILTER_PRESETS.items()}


def test_a_saved_one_is_listed_in_its_place(worker: Bench) -> None:
    """Alphabetically among the others, with what was left out as in `none`, also for the next worker."""
    assert save(worker, "My look", **LOOK) == "Filter preset 'My look' saved successfully"

    found = listed(bench(worker.folder))
    assert list(found) == ["none", "cinematic", "cool", "dramatic", "My look", "vintage", "warm"]
    assert found["My look"] == {**found["none"], **LOOK}


def test_saving_again_replaces(worker: Bench) -> None:
    """The answer says so, and nothing of the old one is left."""
    save(worker, "look", blur=3)

    assert save(worker, "look", sharpen=2) == "Filter preset 'look' updated successfully"
    assert listed(worker)["look"] == {**listed(worker)["none"], "sharpen": 2}


def test_both_spellings_of_grain_are_saved(worker: Bench) -> None:
    """`film_grain` is answered as `film_grain_strength`."""
    save(worker, "grainy", film_grain=7.5)

    assert listed(worker)["grainy"]["film_grain_strength"] == 7.5
    assert "film_grain" not in listed(worker)["grainy"]


@pytest.mark.parametrize("name", ["none", "None", "NONE", "  none ", " nOnE"])
def test_none_is_protected(worker: Bench, name: str) -> None:
    """In any case, with spaces around it, it can be neither replaced nor deleted."""
    assert save(worker, name, blur=1) == "'none' is a protected preset and cannot be overwritten"
    assert delete(worker, name) == "'none' preset cannot be deleted"
    assert worker.run("delete_filter_preset", name=name)["status"] == 400
    assert list(listed(worker)) == BUILT_IN


def test_a_built_in_one_can_be_replaced(worker: Bench, source: Path) -> None:
    """From then on its name means the new look, in any case of its letters."""
    assert save(worker, "warm", blur=1) == "Filter preset 'warm' updated successfully"

    assert listed(worker)["warm"] == {**listed(worker)["none"], "blur": 1}
    assert_same_look(worker, source, {"preset": "WARM"}, {"blur": 1})


def test_deleting_a_replaced_built_in_restores_it(worker: Bench, source: Path) -> None:
    """For every worker, in any case of its letters; the answer says so."""
    save(worker, "cool", blur=1)
    answer = worker.run("delete_filter_preset", name="cool")

    assert answer["message"] == "Filter preset 'cool' deleted successfully"
    assert answer["note"] == "The built-in preset 'cool' applies again."
    other = bench(worker.folder)
    assert list(listed(other)) == BUILT_IN
    assert_same_look(other, source, {"preset": "Cool"}, FILTER_PRESETS["cool"].model_dump(exclude_defaults=True))


def test_a_built_in_preset_cannot_be_deleted(worker: Bench) -> None:
    """The message says what can be done instead."""
    refused = worker.run("delete_filter_preset", name="cinematic")

    assert (refused["status"], refused["code"]) == (400, "bad_request")
    assert refused["error"] == (
        "'cinematic' is a built-in preset and cannot be deleted; save a preset of its name instead"
    )
    assert list(listed(worker)) == BUILT_IN


def test_a_built_in_preset_that_an_older_version_deleted_is_found(worker: Bench) -> None:
    """Older versions stored a mark in its place, which is set aside."""
    mark = worker.runtime.storage
    mark.put_bytes(Key("state/filter_presets/cinematic.json"), b'{"deleted": true}')

    assert list(listed(worker)) == BUILT_IN


def test_a_deleted_preset_is_not_listed(worker: Bench) -> None:
    """And cannot be deleted twice."""
    save(worker, "look", blur=1)
    answer = worker.run("delete_filter_preset", name="look")

    assert answer == {"success": True, "message": "Filter preset 'look' deleted successfully"}
    assert delete(worker, "look") == "Filter preset 'look' not found"
    assert worker.run("delete_filter_preset", name="look")["status"] == 404
    assert list(listed(worker)) == BUILT_IN


def test_case_counts_in_saved_names(worker: Bench, source: Path) -> None:
    """`Look` and `look` are two, and one of them is not found under the other's name."""
    save(worker, "Look", blur=1)
    assert worker.run("filters", source, preset="look")["error"] == "Filter preset 'look' not found"
    save(worker, "look", blur=2)
    save(worker, "Warm", blur=3)

    found = listed(worker)
    assert [found[name]["blur"] for name in ("Look", "look", "Warm", "warm")] == [1, 2, 3, 0]
    assert delete(worker, "LOOK") == "Filter preset 'LOOK' not found"
    assert delete(worker, "WARM") == "Filter preset 'WARM' not found"


def test_one_letter_typed_in_two_ways_is_one_name(worker: Bench) -> None:
    """A composed and a decomposed letter, and spaces around a name, make no difference."""
    save(worker, "\u00fcber", blur=1)

    assert save(worker, " u\u0308ber ", blur=2) == "Filter preset '\u00fcber' updated successfully"
    assert [name for name in listed(worker) if name not in BUILT_IN] == ["\u00fcber"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"contrast": 3.5}, "settings.contrast must be between 0 and 3, not 3.5."),
        ({"sharpness": 1}, "Unknown field 'settings.sharpness'; did you mean 'settings.sharpen'?"),
        ({"blur": "1"}, "settings.blur must be a valid number, not '1'."),
        ({"film_grain": 1, "film_grain_strength": 2}, "settings must be given as either"),
    ],
)
def test_invalid_settings_are_not_saved(worker: Bench, settings: dict[str, Any], sentence: str) -> None:
    """Values out of range and unknown controls are refused by name."""
    assert save(worker, "look", **settings).startswith(sentence)
    assert list(listed(worker)) == BUILT_IN


def test_the_number_of_presets_is_limited(tmp_path: Path) -> None:
    """One more than the limit is refused; replacing one still works, and deleting makes room."""
    worker = bench(tmp_path, max_presets=2)
    save(worker, "a", blur=1)
    save(worker, "b", blur=1)

    answer = worker.run("save_filter_preset", name="c", settings={})
    assert (answer["status"], answer["error"]) == (
        413,
        "There are 2 presets already; delete one before you save another.",
    )
    assert save(worker, "b", blur=2) == "Filter preset 'b' updated successfully"
    assert save(worker, "warm", blur=2) == "Filter preset 'warm' updated successfully"
    delete(worker, "a")
    delete(worker, "warm")
    delete(worker, "b")
    assert save(worker, "c") == "Filter preset 'c' saved successfully"


@pytest.mark.parametrize(
    "data", [b"", b'{"blur": 1', b'{"blur": 99}', b'{"unknown": 1}', b"[]", b'{"deleted": 1}', b"\xff"]
)
def test_a_damaged_preset_is_set_aside(worker: Bench, data: bytes) -> None:
    """What was damaged or edited into nonsense counts as not there, is kept aside, and harms no other."""
    save(worker, "good", blur=1)
    worker.runtime.storage.put_bytes(Key("state/filter_presets/bad.json"), data)
    worker.runtime.storage.put_bytes(Key("state/filter_presets/warm.json"), data)

    assert list(listed(worker)) == ["none", "cinematic", "cool", "dramatic", "good", "vintage", "warm"]
    assert listed(worker)["warm"] == FILTER_PRESETS["warm"].model_dump()
    assert worker.runtime.storage.read(Key("state/damaged/filter_presets/bad.json")) == data
    assert save(worker, "bad", blur=2) == "Filter preset 'bad' saved successfully"


def test_presets_with_invalid_names_are_hidden(worker: Bench) -> None:
    """Neither does a stored `none` become another one, nor is there a preset that no request could name."""
    for name in ("none", "NONE", "a%2Fb", "%2E%2E", "<b>"):
        worker.runtime.storage.put_bytes(Key(f"state/filter_presets/{name}.json"), json.dumps({"blur": 5}).encode())

    assert list(listed(worker)) == BUILT_IN
    assert listed(worker)["none"]["blur"] == 0


def test_a_saved_one_is_used_everywhere(worker: Bench, source: Path) -> None:
    """By the filters, in pipelines and in batches, with sent fields over it."""
    save(worker, "mine", brightness=-40, saturation=0)
    expected: dict[str, Any] = {"brightness": -40, "saturation": 0}

    assert_same_look(worker, source, {"preset": "mine"}, expected)
    assert_same_look(worker, source, {"preset": " mine "}, expected)
    assert_same_look(worker, source, {"preset": "mine", "saturation": 1.0}, {"brightness": -40})
    step = {"type": "filters", "params": {"preset": "mine"}}
    plain = worker.output(worker.run("filters", source, **expected))
    assert_equal_videos(plain, worker.output(worker.run("pipeline", source, operations=[step])))


def test_a_missing_preset_is_reported_before_the_download(worker: Bench) -> None:
    """In a pipeline the sentence names the step."""
    step = {"type": "filters", "params": {"preset": "nowhere"}}

    answer = worker.run("pipeline", video_url="http://127.0.0.1:9/video.mp4", operations=[step])

    assert (answer["status"], answer["error"]) == (
        404,
        "operations[0] (filters): Filter preset 'nowhere' not found",
    )


def assert_same_look(worker: Bench, source: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two ways of asking for a look give the same frames, other than the source's."""
    first, second = (worker.output(worker.run("filters", source, **fields)) for fields in (one, other))
    assert_equal_videos(first, second)
    assert psnr(read_back(first).frames[0], read_back(source).frames[0]) < 45


def assert_equal_videos(one: Path, other: Path) -> None:
    """Both show the same frames; libx264 does not always write the same bytes."""
    assert one != other
    pairs = zip(read_back(one).frames, read_back(other).frames, strict=True)
    assert min(psnr(first, second) for first, second in pairs) > 50
