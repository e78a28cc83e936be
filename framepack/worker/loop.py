"""Starts the RunPod SDK's loop around our handler."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from framepack.checks.fitness import check_fitness
from framepack.errors import Unavailable
from framepack.logs import log_start, start_logging
from framepack.worker.handler import make_handler, printable
from framepack.worker.payload import limit_warnings
from framepack.worker.progress import update_line

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.runtime import Runtime
    from framepack.worker.handler import Handler

log = logging.getLogger("framepack.worker")


def start(runtime: Runtime) -> None:
    """Serve jobs until the platform stops the worker; without a platform, run ``test_input.json`` once.

    Takes the SDK's own flags from the command line, such as ``--test_input`` and ``--rp_serve_api``.
    """
    start_logging(runtime.settings)
    log_start(runtime.settings)
    _skip_processor_survey()
    import runpod
    from runpod.serverless.modules import rp_logger, worker_state

    # The SDK's default level logs every job's input; below INFO only on the operator's own --rp_log_level.
    rp_logger.RunPodLogger().level = "INFO"
    handler = make_handler(runtime, _send_update)
    chosen = runpod.serverless.parser.parse_known_args()[0]
    is_one_job = not chosen.rp_serve_api and (worker_state.IS_LOCAL_TEST or chosen.test_input)
    if not is_one_job:
        for sentence in limit_warnings(runtime.settings):
            log.warning(sentence)
    if worker_state.IS_LOCAL_TEST:
        rp_logger.RunPodLogger().level = "WARN"  # INFO would print the whole result a second time
        handler = _printing(handler, runtime)
    if is_one_job or chosen.rp_serve_api:
        _check_now(runtime)  # the SDK examines a worker only in its production loop
    else:
        runpod.serverless.register_fitness_check(_fitness_check(runtime))
    runpod.serverless.start({"handler": handler})


def _check_now(runtime: Runtime) -> None:
    """Refuse to start a worker that is not fit, before it computes anything."""
    try:
        check_fitness(runtime)
    except Unavailable as error:
        log.error("The worker is not fit for jobs: %s", error.message)  # noqa: TRY400 - the sentence says it
        sys.exit(1)


def _fitness_check(runtime: Runtime) -> Callable[[], None]:
    def framepack_ready() -> None:  # the platform shows this name when the check fails
        check_fitness(runtime)

    return framepack_ready


def _skip_processor_survey() -> None:
    """Keep py-cpuinfo from surveying the processor while the SDK is imported: it takes over a second.

    The SDK needs the processor's name only for its ``--rp_debugger``.
    """
    survey = ModuleType("cpuinfo")
    survey.get_cpu_info = lambda: {"brand_raw": "not surveyed"}  # type: ignore[attr-defined]
    sys.modules.setdefault("cpuinfo", survey)


async def _send_update(job: dict[str, Any], update: dict[str, Any]) -> None:
    """Deliver a progress update the way the SDK's own ``progress_update`` does, but awaited."""
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules import rp_http, worker_state

    if worker_state.IS_LOCAL_TEST:
        log.info("%s", update_line(update), extra={"job_id": job.get("id")})
        return
    async with AsyncClientSession() as session:
        await rp_http.send_result(session, {"status": "IN_PROGRESS", "output": update}, job)


def _printing(handler: Handler, runtime: Runtime) -> Handler:
    """``handler`` that also shows its answer, and where the output's file lies, to the person at the terminal."""

    async def handle(job: dict[str, Any]) -> Answer:
        answer = await handler(job)
        print(printable(answer), flush=True)  # noqa: T201
        if location := runtime.location(answer):
            print(f"The output is at {location}", flush=True)  # noqa: T201
        return answer

    return handle
