"""Turn weights into networks: spandrel recognizes the architecture from the state dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from framepack.errors import ModelUnavailable
from framepack.models.memory.device import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spandrel import ImageModelDescriptor
    from torch import Tensor

    from framepack.models.spec import ModelRow, Weights


class ReadsWeights(Protocol):
    """Where weights are found."""

    def state_dict(self, weights: Weights) -> Mapping[str, Tensor]:
        """The tensors of a file, by name."""


def load_upscaler_network(
    row: ModelRow, store: ReadsWeights, denoise_strength: float = 1.0
) -> ImageModelDescriptor[Any]:
    """Load the network of an upscaler's row, on the CPU in single precision, ready for inference.

    Args:
        row: the catalog's or a user's own.
        store: where its weights are found.
        denoise_strength: 0 keeps noise, 1 removes most; used by rows with two files, ignored by all others.

    Raises:
        ModelUnavailable: the weights are not to be had, or are not the network that the row describes.
    """
    if len(row.weights) == 1 or denoise_strength >= 1:
        state = store.state_dict(row.weights[0])
    else:
        state = blend(store.state_dict(row.weights[0]), store.state_dict(row.weights[1]), denoise_strength)
    network = load_network(state)
    if network.scale != row.scale:
        raise ModelUnavailable(f"The weights of {row.name} are those of a {network.scale}x network.")
    return network


def load_network(state: Mapping[str, Tensor]) -> ImageModelDescriptor[Any]:
    """Build the network that a state dict belongs to, with every weight in its place.

    Returns:
        An RGB image-to-image network for upscaling or restoration, on the CPU, in evaluation mode.

    Raises:
        ModelUnavailable: the architecture is unknown or of another kind, or the weights do not fit it.
    """
    from spandrel import ImageModelDescriptor, ModelLoader

    try:
        network = ModelLoader("cpu").load_from_state_dict(dict(state))
    except Exception as error:  # weights that fit no network fail anywhere, and all means the same
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable("The weights do not fit any known network.") from error
    if not isinstance(network, ImageModelDescriptor) or network.purpose not in {"SR", "Restoration"}:
        raise ModelUnavailable("The weights belong to a network of another kind than upscaling or restoration.")
    if (network.input_channels, network.output_channels) != (3, 3):
        raise ModelUnavailable("The weights belong to a network that does not work on RGB frames.")
    return network.float().eval()


def blend(strong: Mapping[str, Tensor], weak: Mapping[str, Tensor], strength: float) -> dict[str, Tensor]:
    """Interpolate between two networks of one shape, tensor by tensor.

    Args:
        strong: weights of the network that removes noise.
        weak: weights of the network that keeps it.
        strength: from 0 (only ``weak``) to 1 (only ``strong``).

    Raises:
        ModelUnavailable: the two are not of one shape.
    """
    if {key: value.shape for key, value in strong.items()} != {key: value.shape for key, value in weak.items()}:
        raise ModelUnavailable("The two networks to blend are not of one shape.")
    return {key: strength * value + (1 - strength) * weak[key] for key, value in strong.items()}
