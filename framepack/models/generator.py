"""The slot of the main video model, filled by what the deployment names: a factory that builds the model."""

from __future__ import annotations

import importlib
from functools import reduce
from typing import TYPE_CHECKING, Any

from framepack.errors import ModelUnavailable
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    import torch


def build_generator(reference: str, place: torch.device) -> Any:
    """Call the deployment's factory.

    Args:
        reference: the setting, ``package.module:factory``.
        place: the device, which the factory is called with.

    Returns:
        The model as the factory made it.

    Raises:
        ModelUnavailable: there is no such factory, or it fails or makes nothing; the error behind it is its cause.
    """
    module_name, _, factory_name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
        factory = reduce(getattr, factory_name.split("."), module)
    except Exception as error:  # a module of the deployment's can fail in any way while it is imported
        raise ModelUnavailable(f"FRAMEPACK_GENERATOR names {reference}, which cannot be imported.") from error
    try:
        model = factory(place)  # type: ignore[operator]
    except Exception as error:  # so can its factory
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable(f"The factory of FRAMEPACK_GENERATOR, {reference}, failed.") from error
    if model is None:
        raise ModelUnavailable(f"The factory of FRAMEPACK_GENERATOR, {reference}, made no model.")
    return model
