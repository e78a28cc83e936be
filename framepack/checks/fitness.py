"""Examines a worker before its first job: what is missing is said once, not by every job after its work.

Loads the main video model, if the deployment names one, and torch, if there is a GPU: what that takes is not taken
from the first job then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from framepack.checks.models import check_device, check_generator, check_weights
from framepack.checks.store import check_store
from framepack.checks.temp import check_temp
from framepack.errors import Unavailable
from framepack.models.device_check import examine_device

if TYPE_CHECKING:
    from framepack.checks.finding import Finding
    from framepack.models.device_check import DeviceReport
    from framepack.runtime import Runtime

log = logging.getLogger("framepack.worker")


def check_fitness(runtime: Runtime) -> DeviceReport:
    """Return if the worker is fit for jobs, after logging where its networks run and what it lacks for some jobs.

    Returns:
        The device that networks run on.

    Raises:
        Unavailable: with a sentence, and a remedy, for each thing that is missing.
    """
    device = examine_device(runtime.settings.device)
    findings = list(_findings(runtime, device))
    missing = [str(each) for each in findings if each.state == "error"]
    if missing:
        raise Unavailable(" ".join(missing))
    for each in findings:
        if each.state == "warning":
            log.warning(str(each))
    log.info("Networks run on %s.", device.description)
    return device


def _findings(runtime: Runtime, device: DeviceReport) -> Iterator[Finding]:
    yield check_store(runtime)
    yield check_temp(runtime.settings)
    yield from check_weights(runtime)
    yield check_device(device)
    if device.trouble is None and (generator := check_generator(runtime)) is not None:
        yield generator
