"""An effect: what pipelines and batches compose, ``clip -> clip``. Declared once and used by its endpoint too."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from framepack.api.schemas import Request
from framepack.media.clip import Clip
from framepack.processing.context import Context

P = TypeVar("P", bound=Request)

Step = Callable[[Clip, Context], Clip]
"""An effect with its parameters: ready to be applied to any clip."""


@dataclass(frozen=True, slots=True)
class Effect(Generic[P]):
    """A named change of a clip.

    Applying it says what the result will be (size, rate, length) and touches no frame: work happens when the
    resulting clip is iterated.

    Attributes:
        name: What pipelines call it.
        params: Model of its parameters.
        apply: The change itself.
    """

    name: str
    params: type[P]
    apply: Callable[[Clip, P, Context], Clip]

    def bind(self, params: P) -> Step:
        """This effect with its parameters fixed."""
        return lambda clip, ctx: self.apply(clip, params, ctx)


def effect(name: str) -> Callable[[Callable[[Clip, P, Context], Clip]], Effect[P]]:
    """Declare the function below, ``(clip, params, context) -> clip``, as the effect called ``name``.

    Raises:
        TypeError: ``params`` is not annotated with a Request.
    """

    def declare(apply: Callable[[Clip, P, Context], Clip]) -> Effect[P]:
        params = typing.get_type_hints(apply).get("params")
        if not (isinstance(params, type) and issubclass(params, Request)):
            raise TypeError(f"{name}: `params` must be annotated with a Request")
        return Effect(name, typing.cast("type[P]", params), apply)

    return declare
