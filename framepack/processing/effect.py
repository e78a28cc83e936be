"""Effects: the changes of a clip that endpoints, pipelines and batches are made of, each declared once."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from framepack.api.schemas import Request
from framepack.api.workflow import LAST, PresetStep
from framepack.media.clip import Clip
from framepack.processing.context import Context
from framepack.processing.limits import Work

P = TypeVar("P", bound=Request)

ClipTransform = Callable[[Clip, Context], Clip]
"""An effect with its parameters fixed, ready to be applied to any clip."""


def frames_made(_before: Clip, after: Clip, _params: Any, _ctx: Context) -> Work:
    """The work of an effect that computes every frame of its result once, without a network."""
    return Work(after.length or 0, after.width, after.height)


def always(_params: Any) -> bool:
    """Whatever the parameters are."""
    return True


def never(_params: Any) -> bool:
    """Whatever the parameters are, it is not so."""
    return False


@dataclass(frozen=True, slots=True)
class Effect(Generic[P]):
    """A named change of a clip, and a type of step for pipelines, batches and, if it says how, presets.

    Applying it computes the properties of the result (size, frame rate, length) but no frame: frames are computed
    when the resulting clip is iterated.

    Attributes:
        name: Its name in pipelines.
        params: Model of its parameters.
        apply: The change itself.
        other_names: What else steps may call it; case, "-" and "_" make no difference.
        order: Place among the types of steps, where they are listed; those without one follow by name.
        preset: How workflow presets have it; None: they do not.
        work: What it computes to make the second clip from the first; by default, every frame of the second once.
        needs_model: Whether it runs a network with the given parameters; by default it does.
    """

    name: str
    params: type[P]
    apply: Callable[[Clip, P, Context], Clip]
    other_names: tuple[str, ...] = ()
    order: float = LAST
    preset: PresetStep | None = None
    work: Callable[[Clip, Clip, Any, Context], Work] = frames_made
    needs_model: Callable[[Any], bool] = always

    def bind(self, params: P) -> ClipTransform:
        """This effect with its parameters fixed; applying it charges the job's budget with its work."""

        def transform(clip: Clip, ctx: Context) -> Clip:
            result = self.apply(clip, params, ctx)
            if result.frames is not clip.frames:
                ctx.budget.compute(self.work(clip, result, params, ctx), ctx.settings)
            return result

        return transform


def effect(
    name: str,
    *,
    other_names: tuple[str, ...] = (),
    order: float = LAST,
    preset: PresetStep | None = None,
    work: Callable[[Clip, Clip, Any, Context], Work] = frames_made,
    needs_model: Callable[[Any], bool] = always,
) -> Callable[[Callable[[Clip, P, Context], Clip]], Effect[P]]:
    """Declare the function below, ``(clip, params, context) -> clip``, as the effect called ``name``; see `Effect`.

    Raises:
        TypeError: ``params`` is not annotated with a Request, or lacks what ``preset`` names.
    """

    def declare(apply: Callable[[Clip, P, Context], Clip]) -> Effect[P]:
        params = typing.get_type_hints(apply).get("params")
        if not (isinstance(params, type) and issubclass(params, Request)):
            raise TypeError(f"{name}: `params` must be annotated with a Request")
        lacking = set() if preset is None else {*preset.params.values()} - params.model_fields.keys()
        if lacking:
            raise TypeError(f"{name}: presets name {sorted(lacking)}, which the parameters lack")
        return Effect(name, typing.cast("type[P]", params), apply, other_names, order, preset, work, needs_model)

    return declare
