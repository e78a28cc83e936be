"""A workflow: steps with their parameters, as pipelines take them and as presets store them.

Every effect declares what it is called in both, and which parameters presets hold of it. Only a registry knows which
effects there are, so the models here are bases, from which `StepTypes` makes models that know a registry's effects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol, Self, TypeVar, get_args, get_origin

from pydantic import Field, create_model, field_validator, model_validator

from framepack.api.names import MAX_CHARACTERS
from framepack.api.schemas import Request, Whole, redeclared
from framepack.errors import InvalidField
from framepack.spelling import shortened

V = TypeVar("V")

NO_WORKFLOW: Final = "None"
"""Name of the built-in preset, which has no steps."""

PRESETS_FOLDER: Final = "workflow_presets"
"""Folder of the stored presets, one document each."""

LAST: Final = float("inf")


@dataclass(frozen=True, slots=True)
class PresetStep:
    """What workflow presets call a type of step, and which of their parameters are its own.

    Attributes:
        name: What it is called in ``active_steps``.
        params: The parameters of presets, each with the name that the step itself has for it. Type, range, default
            and description are the step's own.
        defaults: Defaults that are not the step's own, by the names of presets.
        off: A parameter, and the value in lower case with which the step is left out although it is active.
        order: Place of its parameters among those of the other steps.
    """

    name: str
    params: Mapping[str, str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    off: tuple[str, str] | None = None
    order: float = LAST

    def is_off(self, params: WorkflowParams) -> bool:
        """Whether the parameters leave this step out."""
        return self.off is not None and str(getattr(params, self.off[0])).casefold() == self.off[1]

    def own_params(self, params: WorkflowParams) -> dict[str, Any]:
        """The step's parameters by its own names."""
        return {own: getattr(params, name) for name, own in self.params.items()}


class StepType(Protocol):
    """What an effect says of itself as a type of step; see `framepack.processing.effect.Effect`."""

    @property
    def name(self) -> str:
        """What pipelines call it."""

    @property
    def params(self) -> type[Request]:
        """Model of its parameters."""

    @property
    def other_names(self) -> tuple[str, ...]:
        """What else it may be called."""

    @property
    def order(self) -> float:
        """Place among all types, where they are listed."""

    @property
    def preset(self) -> PresetStep | None:
        """How workflow presets have it; None: they do not."""


class StepTypes:
    """The types of steps there are.

    Args:
        found: The types; those of equal order are listed in alphabetical order.

    Attributes:
        names: What pipelines call them.
        in_presets: Those that presets have, by the same names.
        own_names: The parameters of presets by the names that their steps have for them, where these differ and are
            not used twice.
        step: Model of one step.
        preset: Model of a workflow preset.

    Raises:
        ValueError: Two types share a name, or a parameter of presets.
    """

    def __init__(self, found: Iterable[StepType] = ()) -> None:
        types = sorted(found, key=lambda each: (each.order, each.name))
        self._types = tuple(types)
        self.names = tuple(each.name for each in types)
        self.in_presets = MappingProxyType({each.name: each.preset for each in types if each.preset is not None})
        self._spellings = _single(
            (spelling, each.name, each)
            for each in types
            for spelling in {_plain(name) for name in (each.name, *each.other_names, *_preset_name(each))}
        )
        by_params = sorted(types, key=lambda each: each.preset.order if each.preset else LAST)
        params = _single((*pair, each) for each in by_params for pair in _preset_fields(each))
        self.own_names = MappingProxyType(_own_names(self.in_presets.values()))
        self.step = self._knowing(Step, type=_type_field(self.names))
        self.preset = self._knowing(WorkflowPreset, params=_params_field(self._knowing(WorkflowParams, **params)))

    @property
    def models(self) -> Mapping[type, type]:
        """The models that know these types, by the base of each."""
        return {Step: self.step, WorkflowPreset: self.preset}

    @cached_property
    def documented(self) -> Mapping[str, type[Request]]:
        """Models for documents, by type of step: with the type's proper name only, and with typed parameters."""
        return MappingProxyType({each.name: _documented_step(each) for each in self._types})

    def type_of(self, name: str) -> str | None:
        """The type of step that ``name`` means, in any case of its letters; None if there is no such step."""
        return self._spellings.get(_plain(name)) if len(name) <= MAX_CHARACTERS else None

    def _knowing(self, base: type[K], **fields: Any) -> type[K]:
        model = create_model(base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **fields)
        model.types = self
        return model


class _Knowing(Request):
    """Base of the models that know types of steps; the base itself knows none."""

    types: ClassVar[StepTypes]


K = TypeVar("K", bound=_Knowing)


class Step(_Knowing):
    """One step of a pipeline."""

    type: str = Field(description="Operation type")
    params: dict[str, Any] = Field(default_factory=dict, description="Operation parameters")

    @property
    def type_name(self) -> str:
        """The step's type by its proper name, however the request spells it."""
        return self.types.type_of(self.type) or self.type


class StepsRequest(Request):
    """A request for several steps; each has a known type."""

    operations: Annotated[list[Step], Field(min_length=1)] = Field(description="Array of operation objects")

    @model_validator(mode="after")
    def _known_types(self) -> Self:
        for index, step in enumerate(self.operations):
            if step.types.type_of(step.type) is None:
                raise _unknown(step.type, step.types.names, f"operations[{index}].type")
        return self


class WorkflowParams(_Knowing):
    """All parameters of a workflow preset, each with its default."""

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: object) -> object:
        """Take every parameter by the name that its step gives it, too."""
        if not isinstance(data, dict):
            return data
        same = cls.types.own_names
        given = {name: value for name, value in data.items() if value is not None}
        fields = {same.get(name, name): value for name, value in given.items()}
        if len(fields) < len(given):
            twice = next(name for name in given if name in same and same[name] in given)
            raise InvalidField(f"params may have either {twice} or {same[twice]}, which mean the same.")
        return fields


class WorkflowPreset(_Knowing):
    """A stored workflow: which steps, in which order, and the parameters of all of them."""

    active_steps: list[str] = Field(default_factory=list, description="Steps in the order they are run")
    params: WorkflowParams = Field(default_factory=WorkflowParams, description="Parameters of every step")

    @field_validator("active_steps", mode="after")
    @classmethod
    def _one_spelling(cls, names: list[str]) -> list[str]:
        """Understand every spelling of a step, and keep the documented one."""
        known = cls.types.in_presets
        type_names = [cls.types.type_of(name) or "" for name in names]
        for index, (name, type_name) in enumerate(zip(names, type_names, strict=True)):
            if type_name not in known:
                raise _unknown(name, tuple(known), f"active_steps[{index}]")
        return [known[type_name].name for type_name in type_names]

    def steps(self) -> list[Step]:
        """The active steps with their own parameters, without the steps that the parameters switch off."""
        return self._steps(self.types.type_of(name) or name for name in self.active_steps)

    def every_step(self) -> list[Step]:
        """Likewise a step of every type that presets have, active or not."""
        return self._steps(self.types.in_presets)

    def _steps(self, type_names: Iterable[str]) -> list[Step]:
        found = ((type_name, self.types.in_presets[type_name]) for type_name in type_names)
        return [
            self.types.step(type=type_name, params=each.own_params(self.params))
            for type_name, each in found
            if not each.is_off(self.params)
        ]


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _unknown(name: str, known: tuple[str, ...], place: str) -> InvalidField:
    return InvalidField(f"Invalid operation type: {shortened(name)}. Valid types: {', '.join(known)} ({place})")


def _single(declared: Iterable[tuple[str, V, StepType]]) -> dict[str, V]:
    """What effects declare, by name.

    Args:
        declared: Name, value, and the effect that declares them.

    Raises:
        ValueError: A name is there twice.
    """
    found: dict[str, V] = {}
    owners: dict[str, StepType] = {}
    for name, value, owner in declared:
        if name in found:
            raise ValueError(f"two effects declare {name!r}: {owners[name].name} and {owner.name}")
        found[name], owners[name] = value, owner
    return found


def _preset_name(each: StepType) -> tuple[str, ...]:
    return () if each.preset is None else (each.preset.name,)


def _preset_fields(each: StepType) -> Iterator[tuple[str, Any]]:
    """The parameters that presets hold of a step, as fields for `create_model`."""
    if each.preset is None:
        return
    for name, own in each.preset.params.items():
        declared = each.params.model_fields[own]
        default = each.preset.defaults.get(name, declared.default)
        choices = get_args(declared.annotation) if get_origin(declared.annotation) is Literal else ()
        if choices:  # presets keep what was written; only the step itself knows its spellings
            plain = Whole if isinstance(choices[0], int) else str
            yield name, (plain, Field(default, description=declared.description))
        else:
            yield name, redeclared(declared, declared.annotation, default=default)


def _own_names(presets: Iterable[PresetStep]) -> dict[str, str]:
    """The parameters of presets by the names of their steps, without names that may mean several."""
    pairs = [(own, name) for each in presets for name, own in each.params.items()]
    taken = Counter(own for own, _ in pairs)
    taken.update(name for _, name in pairs)
    return {own: name for own, name in pairs if taken[own] == 1}


def _documented_step(each: StepType) -> type[Request]:
    shown = Step.model_fields
    needs_params = any(field.is_required() for field in each.params.model_fields.values())
    default: dict[str, Any] = {} if needs_params else {"default_factory": each.params}
    fields: dict[str, Any] = {
        "type": (Literal[each.name], Field(description=shown["type"].description)),
        "params": (each.params, Field(description=shown["params"].description, **default)),
    }
    name, doc = f"{each.name.title().replace('_', '')}Step", f"A step of the type `{each.name}`."
    return create_model(name, __base__=Request, __module__=Step.__module__, __doc__=doc, **fields)


def _type_field(names: tuple[str, ...]) -> Any:
    description = f"Operation type: {', '.join(names)}, or another known name of one"
    return redeclared(Step.model_fields["type"], str, description=description)


def _params_field(params: type[WorkflowParams]) -> Any:
    return redeclared(WorkflowPreset.model_fields["params"], params, default_factory=params)


_Knowing.types = StepTypes()
