"""Processes of a test that pause for a moment where the product pauses for seconds. Their patience stays as it is."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from uuid import uuid4

from tests.support.injected import Injection, on_import

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

_MORE: Final = "TEST_MORE_SHORT_PAUSES"
_PATIENCE: Final = "framepack.storage.patience"
_SDK: Final = "runpod.endpoint.runner"  # tries six times to connect, with pauses of up to 16 seconds

REMOTE_REPORT: Final = {"framepack.jobs.runner": {"_REMOTE_REPORT_SECONDS": 0.1}}
"""For a platform without workers: none reports the end of a job, so a server need not wait for that."""

BUCKET_AWAY: Final = {"framepack.storage.s3.client": {"_PATIENCE": {"seconds": 0.5}}}
"""For a bucket that a test takes away: its errors are repeated for a moment, until the job itself waits for it."""


def short_pauses(folder: Path, more: dict[str, dict[str, Any]] | None = None) -> dict[str, str]:
    """Variables for processes whose pauses are short.

    Args:
        folder: Where to put the files that make them so.
        more: Further constants by module and name: numbers, tuples as lists, fields of an object as a mapping.
    """
    injection = Injection(folder / f"pauses-{uuid4().hex}", __name__)
    return {**injection.environment, _MORE: json.dumps(more or {})}


def install() -> None:
    """Shorten the pauses in this process, those of each module when it is imported."""
    more = json.loads(os.environ.get(_MORE, "{}"))
    pauses = {name: {**_PAUSES.get(name, {}), **more.get(name, {})} for name in {*_PAUSES, *more}}

    def shorten(module: ModuleType) -> None:
        if module.__name__ == _SDK:
            vars(module)["Retry"] = partial(vars(module)["Retry"], backoff_max=0.1)
        elif module.__name__ == _PATIENCE:
            _limit_pauses(module)
        for name, value in pauses.get(module.__name__, {}).items():
            _replace(module, name, value)

    on_import({*pauses, _SDK, _PATIENCE}, shorten)


def _limit_pauses(module: ModuleType) -> None:
    """Limit the pauses between calls of a store that is away."""
    patience: Any = vars(module)["Patience"]
    pause_seconds = patience.pause_seconds
    patience.pause_seconds = lambda self, tries: min(0.2, pause_seconds(self, tries))


def _replace(module: ModuleType, name: str, value: Any) -> None:
    """Replace a constant of a module, also where it is the default of a parameter. One that was renamed is missed."""
    old = getattr(module, name)
    new = replace(old, **value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
    setattr(module, name, new)
    for each in list(vars(module).values()):
        function = vars(each).get("__init__") if isinstance(each, type) else each
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            function.__defaults__ = tuple(new if value is old else value for value in function.__defaults__ or ())
