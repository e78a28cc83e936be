"""Checks, before the first job, that the worker has what its jobs will need; says what is missing.

Loads the main video model, if the deployment names one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from framepack.errors import FramepackError, Unavailable

if TYPE_CHECKING:
    from framepack.runtime import Runtime

log = logging.getLogger("framepack.worker")


def check_fitness(runtime: Runtime) -> None:
    """Return if the worker is fit for jobs.

    Raises:
        Unavailable: with one sentence per thing that is missing.
    """
    missing = [sentence for check in (_store, _temp, _models, _generator) if (sentence := check(runtime))]
    if missing:
        raise Unavailable(" ".join(missing))


def _store(runtime: Runtime) -> str | None:
    try:
        runtime.check_store()
    except FramepackError as error:
        return f"The store cannot be used: {error.message} Check FRAMEPACK_STORAGE and BUCKET_*."
    return None


def _temp(runtime: Runtime) -> str | None:
    try:
        runtime.settings.temp_dir.mkdir(parents=True, exist_ok=True)
        probe = runtime.settings.temp_dir / ".fitness"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return "The working folder cannot be written: set FRAMEPACK_TEMP_DIR to one that can."
    return None


def _models(runtime: Runtime) -> str | None:
    absent = runtime.models.missing()
    if not absent or runtime.settings.weights_download:
        return None
    usable = [row for row in runtime.models.upscalers() if row.name not in absent]
    fetch = "`python -m framepack weights fetch`"
    remedy = f"put them into FRAMEPACK_WEIGHTS_DIR with {fetch}, or set FRAMEPACK_WEIGHTS_DOWNLOAD"
    sentence = f"Weights are missing for {', '.join(absent)}: {remedy}."
    if not usable:
        return sentence
    log.warning(sentence)  # the worker is fit for the other models
    return None


def _generator(runtime: Runtime) -> str | None:
    if runtime.settings.generator is None:
        return None
    try:
        with runtime.models.generator():
            return None
    except FramepackError as error:
        return error.message + (f" ({error.__cause__})" if error.__cause__ else "")
