"""Loads a job's first model in the background, while the job downloads and probes its source."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

log = logging.getLogger("framepack.models")


class Preloading:
    """Loads the first model that is asked for; the next ones might not fit beside it."""

    def __init__(self) -> None:
        self._has_begun = False

    def begin(self, lease: Callable[[], AbstractContextManager[object]]) -> None:
        """Begin to load a model, unless one was asked for before.

        Args:
            lease: Makes a lease of the model from the cache. Whoever leases it meanwhile waits for this load. If it
                fails, that lease tries again, and reports the error.
        """
        if not self._has_begun:
            self._has_begun = True
            threading.Thread(target=_load, args=(lease,), name="preload", daemon=True).start()


def _load(lease: Callable[[], AbstractContextManager[object]]) -> None:
    try:
        with lease():
            pass
    except Exception as error:  # noqa: BLE001 - the job's own lease reports it
        log.debug("the model could not be loaded ahead: %s", error)
