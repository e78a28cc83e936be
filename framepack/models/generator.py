"""Build the main video model with the factory that the deployment's settings name."""

from __future__ import annotations

import importlib
from functools import reduce
from typing import TYPE_CHECKING, Any

from framepack.errors import ModelUnavailable
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    import torch


def build_generator(reference: str, device: torch.device) -> Any:
    """Call the deployment's factory.

    Args:
        reference: The setting, ``package.module:factory``.
        device: Passed to the factory.

    Returns:
        The object that the factory returned.

    Raises:
        ModelUnavailable: There is no such factory, or it failed or returned None; the original error is the cause.
    """
    module_name, _, factory_name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
        factory = reduce(getattr, factory_name.split("."), module)
    except Exception as error:  # the deployment's module can fail in any way while it is imported
        raise ModelUnavailable(f"FRAMEPACK_GENERATOR names {reference}, which cannot be imported.") from error
    try:
        model = factory(device)  # type: ignore[operator]
    except Exception as error:  # so can the factory
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable(f"The factory of FRAMEPACK_GENERATOR, {reference}, failed.") from error
    if model is None:
        raise ModelUnavailable(f"The factory of FRAMEPACK_GENERATOR, {reference}, returned no model.")
    return model
