"""Runs an operation and adds its metrics to the answer and to the log, if the settings say so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar, get_args

from framepack.api.metrics import Metrics, StageSeconds
from framepack.measurements import Stage

if TYPE_CHECKING:
    from framepack.api.schemas import Request, Response
    from framepack.processing.context import Context
    from framepack.processing.operation import Operation

log = logging.getLogger("framepack.metrics")

Req = TypeVar("Req", bound="Request")
Res = TypeVar("Res", bound="Response")


def run_measured(operation: Operation[Req, Res], request: Req, ctx: Context) -> Res:
    """Run an operation.

    With the setting ``metrics``, an answer that has the field ``metrics`` gets it, and the log a line with the same
    figures. The line is also there at DEBUG.
    """
    if "metrics" not in operation.response.model_fields:
        return operation.run(request, ctx)
    loads = ctx.models.cache.loads
    response = operation.run(request, ctx)
    level = logging.INFO if ctx.settings.metrics else logging.DEBUG
    if not (ctx.settings.metrics or log.isEnabledFor(level)):
        return response
    metrics = _metrics(ctx, is_cold=ctx.models.cache.loads > loads)
    extra = {"job_id": ctx.job.id, "operation": operation.name, "metrics": metrics.model_dump()}
    log.log(level, "job %s: %s", ctx.job.id, _line(metrics), extra=extra)
    return response.model_copy(update={"metrics": metrics}) if ctx.settings.metrics else response


def _metrics(ctx: Context, *, is_cold: bool) -> Metrics:
    measured = ctx.job.measurements
    seconds = {stage: measured.seconds(stage) for stage in get_args(Stage)}
    total = measured.total_seconds
    has_frames = measured.frames and seconds["frames"]
    return Metrics(
        seconds=StageSeconds(**{stage: _down(each) for stage, each in {**seconds, "total": total}.items()}),
        frames=measured.frames,
        frames_per_second=round(measured.frames / seconds["frames"], 2) if has_frames else None,
        device=ctx.models.device.label if measured.has_network else "cpu",
        cold=is_cold,
    )


def _down(seconds: float) -> float:
    """Whole milliseconds, rounded down, so that stages still add up to at most the total."""
    return int(seconds * 1000) / 1000


def _line(metrics: Metrics) -> str:
    """The metrics as people read them: "source 0.2 s, ..., 48 frames at 20.1 per second on cpu, cold"."""
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in metrics.seconds)
    rate = "" if metrics.frames_per_second is None else f" at {metrics.frames_per_second:g} per second"
    frames = f"{metrics.frames} frame{'' if metrics.frames == 1 else 's'}"
    return f"{stages}; {frames}{rate} on {metrics.device}, {'cold' if metrics.cold else 'warm'}"
