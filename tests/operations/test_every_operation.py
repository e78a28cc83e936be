"""What holds for every operation: its documentation says what each field means."""

from __future__ import annotations

import pytest

from framepack.registry import AnyOperation, discover

EVERY_OPERATION = pytest.mark.parametrize("operation", list(discover()), ids=lambda operation: operation.name)


@EVERY_OPERATION
def test_its_fields_are_described(operation: AnyOperation) -> None:
    """Each field of its request has a description, which becomes its documentation."""
    for name, field in operation.request.model_fields.items():
        assert field.description, (
            f"{name} of {operation.request.__name__} needs a description: Field(description=...)"
        )
