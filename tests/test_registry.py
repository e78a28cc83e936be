"""How an endpoint is found, and what a declaration must say."""

import pytest

from framepack.api.schemas import CallbackRequest, Request, Response
from framepack.errors import InvalidField, UnknownEndpoint
from framepack.media.clip import Clip
from framepack.processing.context import Context
from framepack.processing.effect import effect
from framepack.processing.operation import Operation, operation
from framepack.registry import Registry, discover
from tests.contract.document_pipeline import STEP_TYPES


class Nothing(Request):
    """No fields."""


class Named(CallbackRequest):
    """A name."""

    name: str


class Done(Response):
    """An answer."""

    success: bool = True


@operation("GET", "/things", needs="store")
def list_things(request: Nothing, ctx: Context) -> Done:
    """List all things."""
    return Done()


@operation("POST", "/things")
def save_thing(request: Named, ctx: Context) -> Done:
    """Save a thing.

    With details.
    """
    return Done()


@operation("DELETE", "/things/{name}")
def delete_thing(request: Named, ctx: Context) -> Done:
    """Delete a thing."""
    return Done()


@pytest.fixture
def registry() -> Registry:
    """Three operations on two routes."""
    return Registry([delete_thing, save_thing, list_things])


@pytest.mark.parametrize(
    ("endpoint", "method", "expected"),
    [
        ("save_thing", None, save_thing),
        ("/things", "GET", list_things),
        ("/things", "post", save_thing),
        ("POST /things", None, save_thing),
        ("/things/{name}", None, delete_thing),
        ("list_things", "POST", list_things),
    ],
)
def test_an_endpoint_has_several_names(
    registry: Registry, endpoint: str, method: str | None, expected: Operation[Request, Response]
) -> None:
    """The function's name, the route, and the route with its method all find the operation."""
    assert registry.find(endpoint, method) is expected


def test_an_unknown_endpoint_is_answered_with_the_known_ones(registry: Registry) -> None:
    """The sentence lists what there is."""
    with pytest.raises(UnknownEndpoint, match=r"Unknown endpoint 'upscal'\. Known endpoints: list_things, "):
        registry.find("upscal")


def test_a_route_with_several_methods_needs_one(registry: Registry) -> None:
    """A path alone cannot name one of two operations."""
    with pytest.raises(InvalidField, match="method is required for /things: one of GET, POST"):
        registry.find("/things")


def test_a_method_that_a_route_lacks_is_refused(registry: Registry) -> None:
    """The sentence names the methods there are."""
    with pytest.raises(UnknownEndpoint, match="/things has no method 'PUT', only GET, POST"):
        registry.find("/things", "PUT")


def test_an_operation_is_described_by_its_declaration() -> None:
    """Name, summary, path fields, callback and needs are read off the function."""
    assert (delete_thing.name, delete_thing.summary, delete_thing.path_fields) == (
        "delete_thing",
        "Delete a thing.",
        ("name",),
    )
    assert save_thing.summary == "Save a thing."
    assert save_thing.supports_callback
    assert not list_things.supports_callback
    assert (list_things.needs, save_thing.needs) == ("store", "worker")


def test_duplicate_names_and_routes_are_refused() -> None:
    """Two operations of one name cannot be registered."""
    with pytest.raises(ValueError, match="declared twice"):
        Registry([save_thing, save_thing])


def test_a_path_field_must_be_in_the_request() -> None:
    """A declaration that does not fit its function stops the start."""
    with pytest.raises(TypeError, match="nothing_like_it"):

        @operation("GET", "/things/{nothing_like_it}")
        def broken(request: Named, ctx: Context) -> Done:
            """Break."""
            return Done()


def test_an_operation_must_be_documented() -> None:
    """An operation without a docstring stops the start."""
    with pytest.raises(TypeError, match="docstring"):

        @operation("GET", "/silent")
        def silent(request: Nothing, ctx: Context) -> Done:
            return Done()


def test_the_operations_are_found_by_walking_their_files() -> None:
    """The main job is there without anybody listing it."""
    assert discover().find("upscale").path == "/postprocess/upscale"


def test_the_effects_are_found_by_walking_their_files() -> None:
    """What pipelines are made of is found in the same files, under the documented types of steps."""
    effects = discover().effects

    assert set(effects) >= set(STEP_TYPES)
    assert all(effects[name].name == name for name in effects)


def test_duplicate_effects_are_refused() -> None:
    """Two effects of one name stop the start."""
    twice = effect("twice")

    @twice
    def one(clip: Clip, params: Nothing, ctx: Context) -> Clip:
        return clip

    with pytest.raises(
        ValueError,
        match=r"the effect twice is declared twice: tests\.test_registry\.one and tests\.test_registry\.one",
    ):
        Registry([], [one, one])
