"""The slot of the main video model, filled by what the deployment names: a factory that builds the model."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from framepack.errors import ModelUnavailable
from framepack.models.memory import is_out_of_memory

if TYPE_CHECKING:
    import torch

_REFERENCE: Final = re.compile(
    r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<factory>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)"
)


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
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        raise ModelUnavailable(f"FRAMEPACK_GENERATOR must be of the form package.module:factory, not '{reference}'.")
    try:
        module = importlib.import_module(parts["module"])
        factory = reduce(getattr, parts["factory"].split("."), module)
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
