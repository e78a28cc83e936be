"""Let ESRGAN compute its trunk with kernels of our own, on GPUs where these prove themselves."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, cast

import torch
from torch import Tensor

from framepack.models.fast_path import Path, fastest
from framepack.models.kernels.convolution import Tiling
from framepack.models.networks.esrgan import RRDBNet
from framepack.models.networks.fused_trunk import FEATURES

if TYPE_CHECKING:
    from framepack.models.networks.fused_trunk import FusedTrunk
    from framepack.models.networks.network import UpscalingNetwork

TILINGS: Final = (
    Tiling(rows=8, columns=16, channels=64, warps=4, stages=3),
    Tiling(rows=4, columns=32, channels=64, warps=8, stages=2, shares_reads=True),
    Tiling(rows=16, columns=16, channels=64, warps=8, stages=2),
    Tiling(rows=2, columns=32, channels=64, warps=4, stages=3, shares_reads=True),
)
"""What is tried; which is the fastest depends on the GPU."""

_COMPARED: Final = ((1, 37, 53), (2, 24, 40))  # frames, height and width: tiles that are cut, and a batch
_TIMED: Final = (360, 640)
_TIMED_BLOCKS: Final = 2  # each takes as long as any other
_SEED: Final = 1


def fuse_if_faster(network: UpscalingNetwork, dtype: torch.dtype) -> None:
    """Replace the way that an ESRGAN on a GPU computes its trunk, if another one is equal and faster there.

    Args:
        network: On its device; other architectures are left as they are.
        dtype: Precision of its input.
    """
    model = network.model
    if not isinstance(model, RRDBNet) or not model.can_fuse_trunk or dtype != torch.float16:
        return
    trial = _Trial(model, network.device, dtype, network.size_multiple)
    tilings = {str(tiling): tiling for tiling in TILINGS}
    found = None
    try:
        found = fastest(
            f"Dense blocks of {network.architecture} {' '.join(network.tags)}",
            Path("plain", partial(trial.outputs, None), partial(trial.work, None)),
            [Path(name, partial(trial.outputs, each), partial(trial.work, each)) for name, each in tilings.items()],
        )
    finally:
        model.fused_trunk = None
    if found is not None:
        model.fused_trunk = trial.fused(tilings[found.name])


class _Trial:
    """The two ways to compute a trunk, and what they are tried with. Takes memory only when it is used."""

    def __init__(self, model: RRDBNet, device: torch.device, dtype: torch.dtype, multiple: int) -> None:
        self._model = model
        self._device = device
        self._dtype = dtype
        self._multiple = multiple  # of width and height

    def outputs(self, tiling: Tiling | None) -> list[Tensor]:
        """Compute small frames by the whole network."""
        self._model.fused_trunk = None if tiling is None else self.fused(tiling)
        return [self._model(frames) for frames in self._frames]

    def work(self, tiling: Tiling | None) -> Tensor:
        """Compute a few blocks at the size of a large tile."""
        trunk = self._model.trunk if tiling is None else self.fused(tiling)
        return cast("Tensor", trunk(self._features, _TIMED_BLOCKS))

    def fused(self, tiling: Tiling) -> FusedTrunk:
        """The trunk by kernels of our own."""
        self._trunk.tiling = tiling
        return self._trunk

    @cached_property
    def _trunk(self) -> FusedTrunk:
        return self._model.fuse_trunk(TILINGS[0])

    @cached_property
    def _frames(self) -> list[Tensor]:
        multiple = self._multiple
        sizes = ((count, 3, *(side + -side % multiple for side in sides)) for count, *sides in _COMPARED)
        return [self._noise(size) for size in sizes]

    @cached_property
    def _features(self) -> Tensor:
        return self._noise((1, FEATURES, *_TIMED))

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        values = torch.rand(shape, generator=torch.Generator().manual_seed(_SEED))
        return values.to(self._device, self._dtype, memory_format=torch.channels_last)
