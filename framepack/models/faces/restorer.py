"""Run GFPGAN: restore aligned faces.

It runs in single precision on the CPU. On a GPU its convolutions run in bfloat16, if these very weights keep 48 dB
there and it is faster: random weights keep 46 to 53 dB. (Half precision would keep 66, but the published weights
are known to overflow in it.) Otherwise they run in single precision, with TF32, PyTorch's default. The noise that it
adds to its features is stored with the weights, so it is the same for all faces and frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

from framepack.errors import ModelUnavailable
from framepack.models.fast_path import Path, fastest
from framepack.models.memory.oom import Shortage, retry_after_oom, try_to_fit
from framepack.models.networks.gfpgan import SIZE, load_gfpgan
from framepack.units import MB

if TYPE_CHECKING:
    from torch import nn

    from framepack.models.memory.device import Device

_BYTES_PER_FACE: Final = 671 * MB  # working memory; measured in single precision on the CPU
_SHARE_OF_FREE: Final = 0.5
_MAX_BATCH: Final = {"cuda": 8, "cpu": 1}  # larger batches are not faster
_LOW_PRECISION_DECIBELS: Final = 48.0  # as for upscalers, see models/upscale/precision.py
_TRIED_SHAPE: Final = (2, 3, 32, 32)  # enlarged to faces, which are smooth
_SEED: Final = 1
_TOO_SMALL: Final = "The worker's memory is too small to enhance faces: set enhance_face to false."


def load_face_network(state: Mapping[str, Tensor]) -> nn.Module:
    """Build GFPGAN v1 ("clean") from its state dict; networks with fewer channels are accepted too.

    Returns:
        The network on the CPU in single precision, ready for inference.

    Raises:
        ModelUnavailable: The weights are not those of this network.
    """
    try:
        network = load_gfpgan(state)
    except (KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise ModelUnavailable("The weights do not fit the face restoration network.") from error
    return network.float().eval().requires_grad_(requires_grad=False)


class FaceRestorer:
    """GFPGAN on its device. Thread-safe.

    Attributes:
        device: Where it runs.

    Args:
        network: In single precision on the CPU; moved in place.
        device: Where to run; idle models there are evicted when memory runs out.
    """

    def __init__(self, network: nn.Module, device: Device) -> None:
        self.device = device
        self._network = network.to(device.torch_device).eval()
        self._precision = self._best_precision() if device.is_cuda else torch.float32

    def batch_size(self) -> int:
        """Return the best number of faces per batch."""
        fitting_bytes = int(self.device.evict_until(_BYTES_PER_FACE) * _SHARE_OF_FREE)
        return min(max(fitting_bytes // _BYTES_PER_FACE, 1), _MAX_BATCH[self.device.torch_device.type])

    def __call__(self, faces: Tensor) -> Tensor:
        """Restore faces, together or, if memory runs out, one by one.

        Args:
            faces: Aligned crops, RGB, shape (N, 3, 512, 512), float32, range 0..1, on any device.

        Returns:
            The same shape, dtype and range, on the network's device.

        Raises:
            OutOfMemory: Not even one face fits.
        """
        restored = try_to_fit(lambda: self._restore(faces))
        if isinstance(restored, Shortage):
            self.device.free_memory()
            restored = retry_after_oom(
                lambda: torch.cat([self._restore(face[None]) for face in faces]), self.device.free_memory, _TOO_SMALL
            )
        return restored

    def _restore(self, faces: Tensor) -> Tensor:
        return self._restore_in(self._precision, faces)

    @torch.inference_mode()
    def _restore_in(self, precision: torch.dtype, faces: Tensor) -> Tensor:
        signed = faces.to(self.device.torch_device, torch.float32).mul(2).sub_(1)
        with torch.autocast(self.device.torch_device.type, precision, enabled=precision != torch.float32):
            restored: Tensor = self._network(signed)
        return restored.float().add_(1).div_(2).clamp_(0, 1)

    def _best_precision(self) -> torch.dtype:
        """The faster precision of those in which these weights keep their result on this device."""
        values = torch.rand(_TRIED_SHAPE, generator=torch.Generator().manual_seed(_SEED))
        faces = functional.interpolate(values, size=(SIZE, SIZE), mode="bicubic").clamp_(0, 1)

        def path(precision: torch.dtype) -> Path:
            work = partial(self._restore_in, precision, faces)
            return Path(str(precision), lambda: [work()], work)

        low = fastest(
            "Face restoration", path(torch.float32), [path(torch.bfloat16)], min_decibels=_LOW_PRECISION_DECIBELS
        )
        return torch.float32 if low is None else torch.bfloat16
