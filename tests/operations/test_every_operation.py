"""What holds for every operation: its documentation says what each field means, and shows an example."""

from __future__ import annotations

import pytest

from framepack.processing.operation import AnyOperation
from framepack.registry import discover

EVERY_OPERATION = pytest.mark.parametrize("operation", list(discover()), ids=lambda operation: operation.name)


@EVERY_OPERATION
def test_its_fields_are_described(operation: AnyOperation) -> None:
    """Each field of its request has a description, which becomes its documentation."""
    for name, field in operation.request.model_fields.items():
        assert field.description, (
            f"{name} of {operation.request.__name__} needs a description: Field(description=...)"
        )


@EVERY_OPERATION
def test_it_has_an_example(operation: AnyOperation) -> None:
    """An operation that takes fields beyond those of its path shows a request, which it accepts."""
    taken = set(operation.request.model_fields) - set(operation.path_fields)
    in_path = dict.fromkeys(operation.path_fields, "name")

    assert operation.examples or not taken, (
        f"{operation.name} needs an example: @operation(..., examples=({{...}},)) in {operation.run.__module__}"
    )
    for example in operation.examples.values():
        assert operation.request.parse({**in_path, **example})
