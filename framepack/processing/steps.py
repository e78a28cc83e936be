"""Steps put together: all of them are checked as a whole before anything is downloaded, and limited one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError, TooLarge
from framepack.media.clip import Clip
from framepack.processing.limits import check_output

if TYPE_CHECKING:
    from framepack.api.workflow import Step
    from framepack.processing.context import Context
    from framepack.processing.effect import Step as Change

_SAMPLE: Final = Clip(frames=lambda: iter(()), fps=Fraction(25), width=16, height=16, length=2)


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of a pipeline, checked and ready to be applied to any clip.

    Attributes:
        kinds: Type of each step.
        changes: The steps themselves, as many.
        output_name: What the client wants the result to be called; None leaves it to the source's name.
    """

    kinds: tuple[str, ...]
    changes: tuple[Change, ...]
    output_name: str | None = None

    def apply(self, clip: Clip, ctx: Context) -> list[Clip]:
        """Say what the clip is after each step; no frame is touched.

        Raises:
            TooLarge: After some step it would be over a limit of the settings; the sentence names the step.
            FramepackError: A step cannot be applied; likewise.
        """
        return self._applied(clip, ctx, lambda changed: check_output(changed, ctx.settings))

    def dry_run(self, ctx: Context) -> None:
        """Apply the steps to a clip that is not there, so that what they lack shows before anything is fetched.

        Raises:
            FramepackError: A step cannot be applied to any clip; the sentence names the step.
        """
        self._applied(_SAMPLE, ctx, lambda _: None)

    def _applied(self, clip: Clip, ctx: Context, check: Callable[[Clip], None]) -> list[Clip]:
        clips = []
        for index, (kind, change) in enumerate(zip(self.kinds, self.changes, strict=True)):
            try:
                clip = change(clip, ctx)
                check(clip)
            except FramepackError as error:
                raise type(error)(f"operations[{index}] ({kind}): {error.message}") from error
            clips.append(clip)
        return clips


def build_chain(steps: Sequence[Step], ctx: Context) -> Chain:
    """Check steps with all their parameters.

    Raises:
        InvalidField: A parameter is missing, unknown or out of range; the sentence says of which step.
        TooLarge: There are more steps than ``max_operations``.
        FramepackError: A step cannot be carried out on this worker, such as one with a model that is not there.
    """
    if len(steps) > ctx.settings.max_operations:
        raise TooLarge(f"There are {len(steps)} operations; at most {ctx.settings.max_operations} are allowed.")
    changes, output_name = [], None
    for index, step in enumerate(steps):
        effect = ctx.effects[step.kind]
        params = effect.params.parse(step.params, f"operations[{index}].params")
        changes.append(effect.bind(params))
        output_name = getattr(params, "output_name", None) or output_name
    chain = Chain(tuple(step.kind for step in steps), tuple(changes), output_name)
    chain.dry_run(ctx)
    return chain
