"""Loads a job's first model in the background, while the job downloads and probes its source."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

Lease = Callable[[], AbstractContextManager[object]]

log = logging.getLogger("framepack.models")


class Preloading:
    """Loads the first model that is asked for; the next ones might not fit beside it.

    Args:
        is_trial: Whether to remember only what would be loaded.
    """

    def __init__(self, *, is_trial: bool = False) -> None:
        self._is_trial = is_trial
        self._first: Lease | None = None

    def begin(self, lease: Lease) -> None:
        """Begin to load a model, unless one was asked for before.

        Args:
            lease: Makes a lease of the model from the cache. Whoever leases it meanwhile waits for this load. If it
                fails, that lease tries again, and reports the error.
        """
        if self._first is None:
            self._first = lease
            if not self._is_trial:
                threading.Thread(target=_load, args=(lease,), name="preload", daemon=True).start()

    def begin_as(self, trial: Preloading) -> None:
        """Begin to load what a trial was asked for first."""
        if trial._first is not None:
            self.begin(trial._first)


def _load(lease: Lease) -> None:
    try:
        with lease():
            pass
    except Exception as error:  # noqa: BLE001 - the job's own lease reports it
        log.debug("the model could not be loaded ahead: %s", error)
