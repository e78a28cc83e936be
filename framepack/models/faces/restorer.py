"""GFPGAN at work: aligned faces in, restored faces out.

It computes in single precision on every device (on GPUs its convolutions round to TF32, which is PyTorch's default):
its style modulation is known to overflow half precision, and a face costs about a tenth of what Real-ESRGAN spends on
a frame. The noise that it adds to its features is the one stored with the weights, equal for all faces and frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from framepack.errors import ModelUnavailable
from framepack.models.memory.device import MB
from framepack.models.memory.oom import attempt, retry_after_oom

if TYPE_CHECKING:
    from torch import nn

    from framepack.models.memory.device import Device

_BYTES_PER_FACE: Final = 640 * MB  # of work; measured in single precision on the CPU
_SHARE_OF_FREE: Final = 0.5
_MOST_AT_ONCE: Final = {"cuda": 8, "cpu": 1}  # a CPU is busy with one
_WIDTH: Final = 512  # channels of the published network at its widest
_TOO_SMALL: Final = "The worker's memory is too small to enhance faces: set enhance_face to false."


def load_face_network(state: Mapping[str, Tensor]) -> nn.Module:
    """Build GFPGAN v1 ("clean") from its state dict, every weight in its place; narrower ones are understood.

    Returns:
        The network on the CPU in single precision, ready for inference.

    Raises:
        ModelUnavailable: the weights are not those of this network.
    """
    from spandrel.architectures.GFPGAN import GFPGAN

    try:
        channels = state["stylegan_decoder.constant_input.weight"].shape[1]
        styles = state["stylegan_decoder.style_mlp.1.weight"].shape[0]
        with torch.device("meta"):  # its 87 million numbers need no first values
            network: nn.Module = GFPGAN(num_style_feat=styles, narrow=channels / _WIDTH)
        network.load_state_dict(dict(state), assign=True)
    except (KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise ModelUnavailable("The weights do not fit the network that restores faces.") from error
    return network.float().eval().requires_grad_(requires_grad=False)


class FaceRestorer:
    """The network on its device; several threads may use it.

    Attributes:
        device: where it is.

    Args:
        network: in single precision on the CPU; taken over.
        device: where to run; idle models leave it when memory runs out.
    """

    def __init__(self, network: nn.Module, device: Device) -> None:
        self.device = device
        self._network = network.to(device.place).eval()

    def at_once(self) -> int:
        """How many faces are best restored together."""
        room = int(self.device.evict_until(_BYTES_PER_FACE) * _SHARE_OF_FREE)
        return min(max(room // _BYTES_PER_FACE, 1), _MOST_AT_ONCE[self.device.place.type])

    def __call__(self, faces: Tensor) -> Tensor:
        """Restore faces.

        Args:
            faces: upright, RGB, shape (N, 3, 512, 512), float32, range 0..1, on any device.

        Returns:
            The same shape, dtype and range, on the network's device.

        Raises:
            OutOfMemory: not even one face fits.
        """
        made = attempt(lambda: self._restore(faces))
        if made is None:
            self.device.free_memory()
            one_by_one = [face[None] for face in faces]
            made = retry_after_oom(
                lambda: torch.cat([*map(self._restore, one_by_one)]), self.device.free_memory, _TOO_SMALL
            )
        return made

    @torch.inference_mode()
    def _restore(self, faces: Tensor) -> Tensor:
        signed = faces.to(self.device.place, torch.float32).mul(2).sub_(1)
        made: Tensor = self._network(signed, return_rgb=False, randomize_noise=False)[0]
        return made.add_(1).div_(2).clamp_(0, 1)
