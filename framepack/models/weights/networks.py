"""Build networks from weights: spandrel detects the architecture from the state dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from framepack.errors import ModelUnavailable
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spandrel import ImageModelDescriptor
    from torch import Tensor

    from framepack.models.spec import ModelRow, Weights


class WeightsSource(Protocol):
    """A source of weights, such as the ``WeightsStore``."""

    def state_dict(self, weights: Weights) -> Mapping[str, Tensor]:
        """Return the tensors of a file, by name."""


def load_upscaler_network(
    row: ModelRow, store: WeightsSource, denoise_strength: float = 1.0
) -> ImageModelDescriptor[Any]:
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


def load_network(state: Mapping[str, Tensor]) -> ImageModelDescriptor[Any]:
    """Build the network that a state dict belongs to, and load all weights into it.

    Returns:
        An RGB image-to-image network for upscaling or restoration, on the CPU, in evaluation mode.

    Raises:
        ModelUnavailable: The architecture is unknown or not an RGB upscaler, or the weights do not fit it.
    """
    from spandrel import ImageModelDescriptor, ModelLoader

    try:
        network = ModelLoader("cpu").load_from_state_dict(dict(state))
    except Exception as error:  # weights that fit no network can fail in any way
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable("The weights do not fit any known network.") from error
    if not isinstance(network, ImageModelDescriptor) or network.purpose not in {"SR", "Restoration"}:
        raise ModelUnavailable("The weights belong to a network for something other than upscaling or restoration.")
    if (network.input_channels, network.output_channels) != (3, 3):
        raise ModelUnavailable("The weights belong to a network that does not work on RGB frames.")
    return network.float().eval()


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
