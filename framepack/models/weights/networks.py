"""Build upscaling networks from weights, whose names and shapes say which network they belong to.

ESRGAN and SRVGGNetCompact, those of the catalog, are defined here in `framepack.models.networks`. All others, which
only a user's own models have, are spandrel's, whose import costs seconds and is done only for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from framepack.errors import ModelUnavailable
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from framepack.models.networks.network import UpscalingNetwork
    from framepack.models.spec import ModelRow, Weights


class WeightsSource(Protocol):
    """A source of weights, such as the ``WeightsStore``."""

    def state_dict(self, weights: Weights) -> Mapping[str, Tensor]:
        """Return the tensors of a file, by name."""


def load_upscaler_network(row: ModelRow, store: WeightsSource, denoise_strength: float = 1.0) -> UpscalingNetwork:
    """Load an upscaling network onto the CPU in single precision, ready for inference.

    Args:
        row: Row of the catalog or of a user's own model.
        store: Source of its weights.
        denoise_strength: 0 keeps noise, 1 removes most; ignored by rows with only one file.

    Raises:
        ModelUnavailable: The weights are unavailable, or their scale is not the row's.
    """
    if len(row.weights) == 1 or denoise_strength >= 1:
        state = store.state_dict(row.weights[0])
    else:
        state = blend_weights(store.state_dict(row.weights[0]), store.state_dict(row.weights[1]), denoise_strength)
    network = load_network(state)
    if network.scale != row.scale:
        raise ModelUnavailable(f"The weights of {row.name} are those of a {network.scale}x network.")
    return network


def load_network(state: Mapping[str, Tensor]) -> UpscalingNetwork:
    """Build the network that a state dict belongs to, and load all weights into it.

    Returns:
        An RGB network for upscaling or restoration, in single precision on the CPU, in evaluation mode.

    Raises:
        ModelUnavailable: The architecture is unknown or not an RGB upscaler, or the weights do not fit it.
    """
    from framepack.models.networks.compact import load_compact
    from framepack.models.networks.esrgan import load_esrgan

    try:
        network = load_compact(state) or load_esrgan(state) or _load_foreign(state)
    except ModelUnavailable:
        raise
    except Exception as error:  # weights that fit no network can fail in any way
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable("The weights do not fit any known network.") from error
    network.model.float().eval().requires_grad_(requires_grad=False)
    return network


def _load_foreign(state: Mapping[str, Tensor]) -> UpscalingNetwork:
    """Build one of spandrel's networks.

    Raises:
        ModelUnavailable: It is for something other than upscaling or restoring RGB frames.
        Exception: The weights fit none.
    """
    from spandrel import ImageModelDescriptor, ModelLoader

    from framepack.models.networks.network import UpscalingNetwork

    network = ModelLoader("cpu").load_from_state_dict(dict(state))
    if not isinstance(network, ImageModelDescriptor) or network.purpose not in {"SR", "Restoration"}:
        raise ModelUnavailable("The weights belong to a network for something other than upscaling or restoration.")
    if (network.input_channels, network.output_channels) != (3, 3):
        raise ModelUnavailable("The weights belong to a network that does not work on RGB frames.")
    return UpscalingNetwork(
        model=network.model,
        architecture=network.architecture.name,
        tags=tuple(network.tags),
        scale=network.scale,
        run=network,
        size_multiple=network.size_requirements.multiple_of,
        minimum_size=network.size_requirements.minimum,
        supports_half=network.supports_half,
    )


def blend_weights(strong: Mapping[str, Tensor], weak: Mapping[str, Tensor], strength: float) -> dict[str, Tensor]:
    """Interpolate between the weights of two networks with the same shapes.

    Args:
        strong: Weights of the network that removes noise.
        weak: Weights of the network that keeps noise.
        strength: From 0 (only ``weak``) to 1 (only ``strong``).

    Raises:
        ModelUnavailable: The shapes differ.
    """
    if {key: value.shape for key, value in strong.items()} != {key: value.shape for key, value in weak.items()}:
        raise ModelUnavailable("The two networks to blend have different shapes.")
    return {key: strength * value + (1 - strength) * weak[key] for key, value in strong.items()}
