"""Processes of a test that pause for a moment where the product pauses for seconds. Their patience stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tests.support.injected import Injection, fault_file, on_import

_POLL: Final = 0.1

_PAUSES: Final[dict[str, dict[str, Any]]] = {
    "framepack.jobs.backends.runpod": {
        "RunpodBackend.__init__.__defaults__": (_POLL,),
        "_MAX_POLL_SECONDS": 0.4,
        "_MAX_PROBE_SECONDS": 0.4,
    },
    "framepack.jobs.queue": {"HEARTBEAT_SECONDS": 1.0},
    "framepack.jobs.runner": {
        "_DEATH_PAUSES": (0.1, 0.2),
        "_MAX_POSTPONE_SECONDS": 0.4,
        "_FIRST_PAUSE_SECONDS": 0.1,
        "_LONGEST_PAUSE_SECONDS": 0.4,
    },
    "framepack.outbox.deliverer": {"_FAILURE_SECONDS": 0.4, "_PAUSE_SECONDS": 0.2},
    "framepack.runtime": {"_CALLBACKS_SECONDS": 1.0},
}
"""The pauses of each module, by the path of the attribute."""

REMOTE_REPORT: Final = {"framepack.jobs.runner": {"_REMOTE_REPORT_SECONDS": 0.1}}
"""For a platform without workers: none reports the end of a job, so a server need not wait for that."""


def short_pauses(folder: Path, more: dict[str, dict[str, Any]] | None = None) -> dict[str, str]:
    """Variables for processes whose pauses are short.

    Args:
        folder: For the files that make them so; a new one.
        more: Further constants, as lists of JSON and numbers, by module and name.
    """
    return _ShortPauses(folder, more or {}).environment


class _ShortPauses(Injection):
    def __init__(self, folder: Path, more: dict[str, dict[str, Any]]) -> None:
        super().__init__(folder, __name__)
        changed = {name: {**_PAUSES.get(name, {}), **more.get(name, {})} for name in {*_PAUSES, *more}}
        self._file.write_text(json.dumps(changed))


def install() -> None:
    """Shorten the pauses in this process, those of each module when it is imported."""
    pauses = json.loads(fault_file().read_text())

    def shorten(module: ModuleType) -> None:
        for path, value in pauses[module.__name__].items():
            *owners, name = path.split(".")
            owner: Any = module
            for each in owners:
                owner = getattr(owner, each)
            getattr(owner, name)  # a pause that was renamed fails the test
            setattr(owner, name, tuple(value) if isinstance(value, list) else value)

    on_import(set(pauses), shorten)
