"""The checks at the start of a worker, so that a problem is reported once and not by every job.

Also loads the main video model, if one is configured, and torch, if there is a GPU, so that the first job does not
wait for that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from framepack.checks.encoder import check_encoder
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
    """Check whether the worker can run jobs. Logs its device, and warnings about problems that affect some jobs.

    Returns:
        The device for inference.

    Raises:
        Unavailable: It cannot run jobs. The message has a sentence and a remedy for each problem.
    """
    runtime.encoders.begin()
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


def check_light_fitness(runtime: Runtime) -> None:
    """Check whether a worker of the light lane can run jobs. It needs no device and no weights.

    Raises:
        Unavailable: it cannot run jobs. The message has a sentence and a remedy for each problem.
    """
    findings = (check_store(runtime), check_temp(runtime.settings))
    missing = [str(each) for each in findings if each.state == "error"]
    if missing:
        raise Unavailable(" ".join(missing))


def _findings(runtime: Runtime, device: DeviceReport) -> Iterator[Finding]:
    yield check_store(runtime)
    yield check_temp(runtime.settings)
    yield from check_weights(runtime)
    yield check_device(device)
    yield check_encoder(runtime.encoders)
    if device.problem is None and (generator := check_generator(runtime)) is not None:
        yield generator
