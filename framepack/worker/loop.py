"""Starts the RunPod SDK's job loop with our handler."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from framepack.checks.fitness import check_fitness
from framepack.checks.store import lost_with_container
from framepack.errors import Unavailable
from framepack.logs import log_start, start_logging
from framepack.processors import let_waiting_threads_sleep
from framepack.worker.handler import make_handler, printable
from framepack.worker.payload import limit_warnings
from framepack.worker.progress import update_line
from framepack.worker.shutdown import Shutdown, end_children_with_this_process

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.runtime import Runtime
    from framepack.worker.handler import Handler

log = logging.getLogger("framepack.worker")


def start(runtime: Runtime) -> None:
    """Run jobs until the platform stops the worker. Without a platform, run ``test_input.json`` once.

    The SDK reads its own flags from the command line, such as ``--test_input`` and ``--rp_serve_api``.
    """
    let_waiting_threads_sleep()
    start_logging(runtime.settings)
    log_start(runtime.settings)
    _skip_processor_survey()
    import runpod
    from runpod.serverless.modules import rp_logger, worker_state

    # The SDK's default level logs the input of every job. Operators can select it with --rp_log_level.
    rp_logger.RunPodLogger().level = "INFO"
    jobs = worker_state.JobsProgress()
    shutdown = Shutdown(runtime.settings.shutdown_grace_seconds, jobs.get_job_count)
    handler = make_handler(runtime, _send_update, shutdown)
    chosen = runpod.serverless.parser.parse_known_args()[0]
    is_one_job = not chosen.rp_serve_api and (worker_state.IS_LOCAL_TEST or chosen.test_input)
    if not is_one_job:
        for sentence in (*limit_warnings(runtime.settings), lost_with_container(runtime.settings)):
            if sentence is not None:
                log.warning(sentence)
    if worker_state.IS_LOCAL_TEST:
        rp_logger.RunPodLogger().level = "WARN"  # INFO prints the whole result again
        handler = _printing(handler, runtime)
    if is_one_job or chosen.rp_serve_api:
        _check_now(runtime)  # the SDK runs fitness checks only in its production loop
    else:
        runpod.serverless.register_fitness_check(_fitness_check(runtime))
        end_children_with_this_process()
    if not is_one_job:
        runtime.deliverer.start()
    runpod.serverless.start({"handler": handler, "concurrency_modifier": shutdown.install})


def _check_now(runtime: Runtime) -> None:
    """Exit if the worker cannot run jobs."""
    try:
        check_fitness(runtime)
    except Unavailable as error:
        log.error("The worker cannot run jobs: %s", error.message)  # noqa: TRY400 - the sentence says it
        sys.exit(1)


def _fitness_check(runtime: Runtime) -> Callable[[], None]:
    def framepack_ready() -> None:  # the platform shows this name if the check fails
        check_fitness(runtime)

    return framepack_ready


def _skip_processor_survey() -> None:
    """Keep py-cpuinfo from examining the processor while the SDK is imported, which takes more than a second.

    The SDK needs the name of the processor only for its ``--rp_debugger``.
    """
    survey = ModuleType("cpuinfo")
    survey.get_cpu_info = lambda: {"brand_raw": "not surveyed"}  # type: ignore[attr-defined]
    sys.modules.setdefault("cpuinfo", survey)


async def _send_update(job: dict[str, Any], update: dict[str, Any]) -> None:
    """Send a progress update like the SDK's ``progress_update``, but await it."""
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules import rp_http, worker_state

    if worker_state.IS_LOCAL_TEST:
        log.info("%s", update_line(update), extra={"job_id": job.get("id")})
        return
    async with AsyncClientSession() as session:
        await rp_http.send_result(session, {"status": "IN_PROGRESS", "output": update}, job)


def _printing(handler: Handler, runtime: Runtime) -> Handler:
    """A handler that also prints the answer and the path of the output file."""

    async def handle(job: dict[str, Any]) -> Answer:
        answer = await handler(job)
        print(printable(answer), flush=True)  # noqa: T201
        if location := runtime.location(answer):
            print(f"Output file: {location}", flush=True)  # noqa: T201
        return answer

    return handle
