"""Chains of steps: checked as a whole before anything is downloaded, and each against the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError, TooLarge
from framepack.media.clip import Clip
from framepack.processing.limits import Budget, check_output
from framepack.processing.preloading import Preloading

if TYPE_CHECKING:
    from framepack.api.schemas import Request
    from framepack.api.workflow import Step
    from framepack.processing.context import BindableEffect, Context
    from framepack.processing.effect import ClipTransform

_EMPTY_CLIP: Final = Clip(frames=lambda: iter(()), fps=Fraction(25), width=16, height=16, length=2)


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of a pipeline, checked and ready to be applied to any clip.

    Attributes:
        types: Type of each step.
        params: The parameters of each step, in the same order.
        transforms: What each step does, in the same order.
        output_name: The name that the client chose for the result; None derives it from the source's name.
    """

    types: tuple[str, ...]
    params: tuple[Request, ...]
    transforms: tuple[ClipTransform, ...]
    output_name: str | None = None

    def apply(self, clip: Clip, ctx: Context) -> list[Clip]:
        """Return the clip after each step; no frame is computed.

        Raises:
            TooLarge: After some step the clip would be over a limit of the settings; the message names the step.
            FramepackError: A step cannot be applied; the message names the step.
        """
        return self._apply(clip, ctx, lambda changed: check_output(changed, ctx.settings))

    def dry_run(self, ctx: Context) -> None:
        """Apply the steps to an empty clip, to find what they lack before anything is downloaded.

        Then begin to load their first model.

        Raises:
            FramepackError: A step cannot be applied to any clip; the message names the step.
        """
        wanted = Preloading(is_trial=True)
        self._apply(_EMPTY_CLIP, replace(ctx, budget=Budget(), preloading=wanted), lambda _: None)
        ctx.preloading.begin_as(wanted)

    def _apply(self, clip: Clip, ctx: Context, check: Callable[[Clip], None]) -> list[Clip]:
        clips = []
        for index, (type_name, transform) in enumerate(zip(self.types, self.transforms, strict=True)):
            try:
                clip = transform(clip, ctx)
                check(clip)
            except FramepackError as error:
                raise type(error)(f"operations[{index}] ({type_name}): {error.message}") from error
            clips.append(clip)
        return clips


def build_chain(steps: Sequence[Step], ctx: Context) -> Chain:
    """Check steps with all their parameters and chain them.

    Raises:
        InvalidField: A parameter is missing, unknown or out of range; the message names the step.
        TooLarge: There are more steps than ``max_operations``.
        FramepackError: A step cannot be carried out on this worker, for example because its model is missing.
    """
    if len(steps) > ctx.settings.max_operations:
        raise TooLarge(f"Too many operations: {len(steps)} (maximum {ctx.settings.max_operations}).")
    params = parse_steps(steps, ctx.effects)
    transforms = [ctx.effects[step.type_name].bind(own) for step, own in zip(steps, params, strict=True)]
    names = [name for own in params if (name := getattr(own, "output_name", None))]
    types = tuple(step.type_name for step in steps)
    chain = Chain(types, tuple(params), tuple(transforms), names[-1] if names else None)
    chain.dry_run(ctx)
    return chain


def parse_steps(steps: Sequence[Step], effects: Mapping[str, BindableEffect]) -> list[Request]:
    """Parse the parameters of every step.

    Raises:
        InvalidField: A parameter is missing, unknown or out of range; the message names the step.
    """
    return [
        effects[step.type_name].params.parse(step.params, f"operations[{index}].params")
        for index, step in enumerate(steps)
    ]
