"""The registry of operations and effects, which are discovered in the files of ``framepack.operations``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from framepack import operations
from framepack.api.workflow import StepTypes
from framepack.errors import InvalidField, UnknownEndpoint
from framepack.processing.effect import Effect
from framepack.processing.operation import AnyOperation, Operation
from framepack.spelling import shortened

AnyEffect = Effect[Any]


class Registry:
    """All operations by name and route, and all effects by name. Tests can build their own.

    Attributes:
        effects: The effects, by name.
        steps: The types of steps that they are. The models of the operations know them.

    Raises:
        ValueError: Two operations share a name or a route, or two effects a name or a parameter of presets.
    """

    def __init__(self, found: Iterable[AnyOperation], effects: Iterable[AnyEffect] = ()) -> None:
        self.effects = _by_name(effects)
        self.steps = StepTypes(self.effects.values())
        self._by_name: dict[str, AnyOperation] = {}
        self._by_path: dict[str, dict[str, AnyOperation]] = {}
        for operation in sorted(found, key=lambda each: (each.path, each.method)):
            methods = self._by_path.setdefault(operation.path, {})
            other = self._by_name.get(operation.name) or methods.get(operation.method)
            if other is not None:
                names = f"{_place(other.run)} and {_place(operation.run)}"
                raise ValueError(f"{operation.name} ({operation.method} {operation.path}) is declared twice: {names}")
            self._by_name[operation.name] = operation.adapted(self.steps.models)
            methods[operation.method] = self._by_name[operation.name]

    def __iter__(self) -> Iterator[AnyOperation]:
        """All operations, ordered by route."""
        return iter(self._by_name.values())

    def find(self, endpoint: str, method: str | None = None) -> AnyOperation:
        """Find an operation by its name, its route, or "METHOD /route".

        Args:
            endpoint: A name or a route, with the fields of its path in braces.
            method: Required for a route with several methods.

        Raises:
            UnknownEndpoint: There is no such operation.
            InvalidField: The route has several methods and none was given.
        """
        if endpoint in self._by_name:
            return self._by_name[endpoint]
        verb, _, path = endpoint.partition(" ")
        if path:
            endpoint, method = path, verb
        methods = self._by_path.get(endpoint)
        if methods is None:
            raise UnknownEndpoint(
                f"Unknown endpoint '{shortened(endpoint)}'. Known endpoints: {', '.join(self._by_name)}."
            )
        if method is None and len(methods) == 1:
            return next(iter(methods.values()))
        if method is None:
            raise InvalidField(f"method is required for {endpoint}: one of {', '.join(sorted(methods))}.")
        if method.upper() not in methods:
            raise UnknownEndpoint(f"{endpoint} has no method '{method[:10]}', only {', '.join(sorted(methods))}.")
        return methods[method.upper()]


def discover() -> Registry:
    """Every operation and effect declared in a file under ``framepack.operations``."""
    return Registry(*declared())


def declared() -> tuple[list[AnyOperation], list[AnyEffect]]:
    """The operations and the effects that are declared under ``framepack.operations``, for a registry."""
    found: list[AnyOperation] = []
    effects: list[AnyEffect] = []
    for module_info in pkgutil.walk_packages(operations.__path__, operations.__name__ + "."):
        module = importlib.import_module(module_info.name)
        for value in vars(module).values():
            if isinstance(value, Operation) and value.run.__module__ == module.__name__:
                found.append(value)
            if isinstance(value, Effect) and value.apply.__module__ == module.__name__:
                effects.append(value)
    return found, effects


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__name__}"


def _by_name(effects: Iterable[AnyEffect]) -> Mapping[str, AnyEffect]:
    named: dict[str, AnyEffect] = {}
    for each in effects:
        if each.name in named:
            places = f"{_place(named[each.name].apply)} and {_place(each.apply)}"
            raise ValueError(f"the effect {each.name} is declared twice: {places}")
        named[each.name] = each
    return MappingProxyType(named)
