"""Processes of a test that pause for a moment where the product pauses for seconds. Their patience stays as it is."""

from __future__ import annotations

import inspect
import json
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from uuid import uuid4

from tests.support.injected import Injection, fault_file, on_import

_PAUSES: Final[dict[str, dict[str, Any]]] = {
    "framepack.jobs.backends.runpod": {"_POLL_SECONDS": 0.1, "_MAX_POLL_SECONDS": 0.4, "_MAX_PROBE_SECONDS": 0.4},
    "framepack.jobs.queue": {"HEARTBEAT_SECONDS": 1.0},
    "framepack.jobs.runner": {
        "_DEATH_PAUSES": (0.1, 0.2),
        "_MAX_POSTPONE_SECONDS": 0.4,
        "_FIRST_PAUSE_SECONDS": 0.1,
        "_LONGEST_PAUSE_SECONDS": 0.4,
    },
    "framepack.net.download": {"PAUSES": (0.1, 0.1, 0.1, 0.1)},
    "framepack.outbox.deliverer": {"_FAILURE_SECONDS": 0.4, "_PAUSE_SECONDS": 0.2},
    "framepack.runtime": {"_CALLBACKS_SECONDS": 1.0},
}
"""The pauses of each module."""

_SDK: Final = "runpod.endpoint.runner"  # tries six times to connect, with pauses of up to 16 seconds

REMOTE_REPORT: Final = {"framepack.jobs.runner": {"_REMOTE_REPORT_SECONDS": 0.1}}
"""For a platform without workers: none reports the end of a job, so a server need not wait for that."""


def short_pauses(folder: Path, more: dict[str, dict[str, Any]] | None = None) -> dict[str, str]:
    """Variables for processes whose pauses are short.

    Args:
        folder: Where to put the files that make them so.
        more: Further constants, as lists of JSON and numbers, by module and name.
    """
    return _ShortPauses(folder / f"pauses-{uuid4().hex}", more or {}).environment


class _ShortPauses(Injection):
    def __init__(self, folder: Path, more: dict[str, dict[str, Any]]) -> None:
        super().__init__(folder, __name__)
        changed = {name: {**_PAUSES.get(name, {}), **more.get(name, {})} for name in {*_PAUSES, *more}}
        self._file.write_text(json.dumps(changed))


def install() -> None:
    """Shorten the pauses in this process, those of each module when it is imported."""
    pauses = json.loads(fault_file().read_text())

    def shorten(module: ModuleType) -> None:
        if module.__name__ == _SDK:
            vars(module)["Retry"] = partial(vars(module)["Retry"], backoff_max=0.1)
            return
        for name, value in pauses[module.__name__].items():
            _replace(module, name, tuple(value) if isinstance(value, list) else value)

    on_import({*pauses, _SDK}, shorten)


def _replace(module: ModuleType, name: str, new: Any) -> None:
    """Replace a constant of a module, also where it is the default of a parameter. One that was renamed is missed."""
    old = getattr(module, name)
    setattr(module, name, new)
    for each in list(vars(module).values()):
        function = each.__init__ if isinstance(each, type) else each
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            function.__defaults__ = tuple(new if value is old else value for value in function.__defaults__ or ())
