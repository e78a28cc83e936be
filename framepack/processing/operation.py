"""Operations: a function with the `operation` decorator declares an endpoint.

Its signature is the contract. Dispatch, the REST route, the callback and the documentation are derived from it.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from framepack.api.schemas import CallbackRequest, Request, Response, adapted

if typing.TYPE_CHECKING:
    from framepack.processing.context import BindableEffect, Context

Req = TypeVar("Req", bound=Request)
Res = TypeVar("Res", bound=Response)
Method = Literal["GET", "POST", "DELETE"]
Needs = Literal["worker", "light", "process", "store"]
IsLight = Callable[[Any, Mapping[str, "BindableEffect"]], bool]


def _never_light(_request: Any, _effects: Mapping[str, BindableEffect]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Operation(Generic[Req, Res]):
    """One endpoint: its route, its request and response, and the function behind it.

    Attributes:
        run: The function, ``(request, context) -> response``.
        method: HTTP method of its route.
        path: Its route, path fields in braces.
        request: Model of the request, from the function's annotations.
        response: Model of the response, from the function's annotations.
        needs: "worker" if it runs as a job of the GPU worker; "light" if it runs as a job in a lane of its own,
            because it only copies a file or decodes little of it; "process" if it asks the worker about itself and
            is answered while a job runs; "store" if any process with access to the store can answer it at once.
        examples: Example requests, as the documentation shows them, each under its name.
        in_query: Whether the documentation shows its fields in the query. All routes accept them in query and body.
        is_light: Whether a request to an operation that needs a worker can run in the light lane nevertheless:
            ``(request, effects)``.
    """

    run: Callable[[Req, Context], Res]
    method: Method
    path: str
    request: type[Req]
    response: type[Res]
    needs: Needs
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    in_query: bool = False
    is_light: IsLight = _never_light

    @property
    def name(self) -> str:
        """The function's name, used in ``"endpoint": "upscale"`` and in callbacks."""
        return self.run.__name__

    @property
    def family(self) -> str:
        """The family of the API that it belongs to: the name of its folder."""
        return self.run.__module__.split(".")[-2]

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return inspect.cleandoc(self.run.__doc__ or "").splitlines()[0]

    @property
    def path_fields(self) -> tuple[str, ...]:
        """Names of the fields in the route's path."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def supports_callback(self) -> bool:
        """Whether it accepts a ``callback_url``."""
        return issubclass(self.request, CallbackRequest)

    @property
    def is_job(self) -> bool:
        """Whether it is queued, and its answer can be read later."""
        return self.needs in {"worker", "light"}

    @property
    def takes_idempotency_key(self) -> bool:
        """Whether requests can be repeated with an ``Idempotency-Key``; those that only read need none."""
        return self.method != "GET" and self.response.is_kept

    def adapted(self, types: Mapping[type, type]) -> Operation[Req, Res]:
        """This operation with other types of fields; see `framepack.api.schemas.adapted`."""
        request, response = adapted(self.request, types), adapted(self.response, types)
        if request is self.request and response is self.response:
            return self
        return replace(self, request=request, response=response)


AnyOperation = Operation[Any, Any]


def operation(
    method: Method,
    path: str,
    *,
    needs: Needs = "worker",
    examples: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    in_query: bool = False,
    is_light: IsLight = _never_light,
) -> Callable[[Callable[[Req, Context], Res]], Operation[Req, Res]]:
    """Declare the function below as the operation behind ``method path``.

    The decorator registers nothing: the registry finds the returned value.

    Raises:
        TypeError: The function lacks a docstring, or annotations of its request and result.
    """

    def declare(run: Callable[[Req, Context], Res]) -> Operation[Req, Res]:
        hints = typing.get_type_hints(run)
        request, response = hints.get(next(iter(inspect.signature(run).parameters), "")), hints.get("return")
        if not (isinstance(request, type) and issubclass(request, Request)):
            raise TypeError(f"{run.__name__}: the first parameter must be annotated with a Request")
        if not (isinstance(response, type) and issubclass(response, Response)):
            raise TypeError(f"{run.__name__}: the result must be annotated with a Response")
        if not run.__doc__:
            raise TypeError(f"{run.__name__}: an operation needs a docstring")
        declared: Operation[Req, Res] = Operation(
            run,
            method,
            path,
            typing.cast("type[Req]", request),
            typing.cast("type[Res]", response),
            needs,
            examples,
            in_query,
            is_light,
        )
        unknown = set(declared.path_fields) - set(request.model_fields)
        if unknown:
            raise TypeError(f"{run.__name__}: the path names {sorted(unknown)}, which the request lacks")
        return declared

    return declare
