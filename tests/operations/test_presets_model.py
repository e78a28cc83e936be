"""Presets of both kinds, on both stores, against a plain dict: whatever is done in whatever order."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from framepack.api.filter_settings import FILTER_PRESETS
from framepack.storage.keys import Key
from tests.support.runs import Bench, bench
from tests.support.s3_server import S3Server, s3_server
from tests.support.stores import bucket_settings

LIMIT = 6
BUILT_IN = {
    "filter": {name: preset.contrast for name, preset in FILTER_PRESETS.items()},
    "workflow": {"None": 1.0},
}
PROTECTED = {"filter": "none", "workflow": "None"}
FIELDS = {"filter": ("settings", "blur"), "workflow": ("preset_data", "params")}

kinds = st.sampled_from(["filter", "workflow"])
names = st.sampled_from(
    [
        *("look", "Look", " look ", "LOOK"),
        *("warm", "Warm", "cinematic"),
        *("none", "None", " NONE "),
        *("\u00fcber", "u\u0308ber"),
        *("a.b", "a%2Eb", "4K Upscale + Cinematic", "日本語", "x" * 100),
    ]
)
contrasts = st.floats(0, 3).map(lambda value: round(value, 6))


class PresetsMachine(RuleBasedStateMachine):
    """A deployment, and what its presets should be."""

    make: ClassVar[Callable[[], Bench]]

    def __init__(self) -> None:
        super().__init__()
        self.model = {kind: dict(presets) for kind, presets in BUILT_IN.items()}
        self.documents: dict[str, set[str]] = {"filter": set(), "workflow": set()}

    @initialize()
    def begin(self) -> None:
        """Open an empty store."""
        self.worker = type(self).make()

    @rule(kind=kinds, name=names, contrast=contrasts)
    def save(self, kind: str, name: str, contrast: float) -> None:
        """Save or replace; protected names, names that are none, and more than the limit are refused."""
        data: dict[str, Any] = {"contrast": contrast}
        fields = {"settings": data} if kind == "filter" else {"preset_data": {"params": data}}
        answer = self.worker.run(f"save_{kind}_preset", name=name, **fields)
        known = self._known(name)
        if known is None:
            assert answer["status"] == 400
        elif known.casefold() == "none":
            assert answer["error"] == f"'{PROTECTED[kind]}' is a protected preset and cannot be overwritten"
        elif known not in self.model[kind] and len(self.documents[kind]) >= LIMIT:
            assert answer["status"] == 413
        else:
            done = "updated" if known in self.model[kind] else "saved"
            assert answer["message"] == f"{kind.capitalize()} preset '{known}' {done} successfully"
            self.model[kind][known] = contrast
            self.documents[kind].add(known)

    @rule(kind=kinds, name=names)
    def delete(self, kind: str, name: str) -> None:
        """Delete; what is not there is not found, and a built-in preset stays or comes back."""
        answer = self.worker.run(f"delete_{kind}_preset", name=name)
        known = self._known(name)
        if known is None or known.casefold() == "none":
            assert answer["status"] == 400
        elif known not in self.documents[kind]:
            assert answer["status"] == (400 if known in BUILT_IN[kind] else 404)
        else:
            assert answer["message"] == f"{kind.capitalize()} preset '{known}' deleted successfully"
            self.documents[kind].remove(known)
            del self.model[kind][known]
            if known in BUILT_IN[kind]:  # it applies again
                self.model[kind][known] = BUILT_IN[kind][known]

    @rule(kind=kinds, data=st.sampled_from([b"", b"{", b'{"contrast": 9}', b'{"params": {"contrast": 9}}', b"[]"]))
    def spoil(self, kind: str, data: bytes) -> None:
        """Put something there that is no preset; it counts for nothing."""
        self.worker.runtime.storage.put_bytes(Key(f"state/{kind}_presets/spoilt.json"), data)

    @rule()
    def restart(self) -> None:
        """Let another worker go on."""
        self.worker = Bench(type(self.worker.runtime)(self.worker.runtime.settings), self.worker.folder)

    @invariant()
    def what_is_listed_is_what_was_saved(self) -> None:
        """Both lists have the model's presets with their numbers, the protected one first."""
        if not hasattr(self, "worker"):
            return
        for kind, expected in self.model.items():
            answer = self.worker.run(f"list_{kind}_presets")
            found = {
                name: (preset if kind == "filter" else preset["params"])["contrast"]
                for name, preset in answer["presets"].items()
            }
            assert found == expected
            others = sorted(set(expected) - {PROTECTED[kind]}, key=lambda name: (name.casefold(), name))
            assert list(found) == [PROTECTED[kind], *others]
            assert answer["message"] == f"Found {len(expected)} {kind} preset(s)"

    @staticmethod
    def _known(name: str) -> str | None:
        """The name that a request's name means; None if it is none."""
        known = unicodedata.normalize("NFC", name.strip(" "))
        return None if "%" in known else known


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.mark.parametrize(("kind", "examples"), [("file", 16), ("s3", 2)])
def test_presets_are_what_was_saved(kind: str, examples: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """After every step of every sequence, for every worker."""
    bucket = bucket_settings(request.getfixturevalue("server")) if kind == "s3" else None

    def make() -> Bench:
        folder = tmp_path / uuid4().hex
        place = {} if bucket is None else {**bucket, "storage": f"{bucket['storage']}/{folder.name}"}
        return bench(folder, max_presets=LIMIT, **place)

    run_state_machine_as_test(
        type("Machine", (PresetsMachine,), {"make": staticmethod(make)}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
