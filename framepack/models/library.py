"""The models a worker offers: what there is, and each of them loaded, warm and leased."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property, partial
from typing import TYPE_CHECKING

from framepack.errors import InvalidField, ModelUnavailable
from framepack.models.cache import ModelCache
from framepack.models.memory import Device
from framepack.models.spec import ModelRow, ModelSpec

if TYPE_CHECKING:
    from framepack.models.catalogue import Catalogue
    from framepack.models.interpolator import Interpolator
    from framepack.models.upscaler import Upscaler
    from framepack.models.weights import WeightsStore

log = logging.getLogger("framepack.models")

_MB = 1 << 20


class ModelLibrary:
    """Everything a job asks of models.

    Args:
        catalogue: The published models.
        store: Where weights come from; knows the deployment's own models.
        device: The setting: "auto", "cpu", "cuda" or "cuda:N".
        memory_limit_mb: Memory that models and their work may use, None for what is free.
    """

    def __init__(
        self, catalogue: Catalogue, store: WeightsStore, *, device: str = "auto", memory_limit_mb: int | None = None
    ) -> None:
        self.store = store
        self.catalogue = catalogue
        self.cache = ModelCache(lambda: self.device.free_bytes() // _MB)
        self._setting = device
        self._limit_mb = memory_limit_mb

    @cached_property
    def device(self) -> Device:
        """Where networks run; found when the first one is needed.

        Raises:
            Unavailable: the settings name a GPU that is not there.
        """
        return Device.find(self._setting, self._limit_mb)

    def upscalers(self) -> Iterator[ModelRow]:
        """The upscale models: the published ones, then the deployment's own."""
        yield from self.catalogue.group("upscaler")
        yield from self.store.custom_models()

    def missing(self) -> list[str]:
        """Names of published models whose weights are not here."""
        return [
            row.name
            for row in self.catalogue.rows
            if any(self.store.where(weights) in {"missing", "wrong"} for weights in row.weights)
        ]

    def upscaler_row(self, name: str) -> ModelRow:
        """The upscale model of this name.

        Raises:
            InvalidField: there is none; the sentence names those there are.
        """
        row = next((row for row in self.upscalers() if row.name == name), None)
        if row is None:
            valid = ", ".join(row.name for row in self.upscalers())
            raise InvalidField(f"Invalid model '{name[:80]}'. Valid models: {valid}.")
        return row

    def upscaler(self, name: str, denoise_strength: float = 1.0) -> AbstractContextManager[Upscaler]:
        """Lease an upscale model: ``with library.upscaler(name) as upscaler``.

        Args:
            name: As in `upscaler_row`.
            denoise_strength: 0 keeps noise, 1 removes most; only for models with a companion that keeps noise.

        Raises:
            InvalidField: there is no such model.
            ModelUnavailable: its weights are not to be had.
        """
        row = self.upscaler_row(name)
        strength = round(denoise_strength, 2) if len(row.weights) > 1 else 1.0
        version = row.weights[0].sha256[:12]  # a deployment may replace the file of its own model
        spec = ModelSpec(
            key=f"{row.name}:{version}@{strength:.2f}",
            name=row.name,
            group="upscaler",
            load=partial(self._load_upscaler, row, strength),
            memory_mb=row.memory_mb,
        )
        return self.cache.lease(spec)

    def interpolator(self) -> AbstractContextManager[Interpolator]:
        """Lease the model that draws frames between frames: ``with library.interpolator() as interpolator``.

        Raises:
            ModelUnavailable: its weights are not to be had.
        """
        row = next(iter(self.catalogue.group("interpolator")), None)
        if row is None:
            raise ModelUnavailable("This worker has no model for frame interpolation.")
        spec = ModelSpec(
            key=f"{row.name}:{row.weights[0].sha256[:12]}",
            name=row.name,
            group="interpolator",
            load=partial(self._load_interpolator, row),
            memory_mb=row.memory_mb,
        )
        return self.cache.lease(spec)

    def _load_interpolator(self, row: ModelRow) -> Interpolator:
        from framepack.models.interpolator import Interpolator
        from framepack.models.nets.rife import load_rife

        started = time.monotonic()
        network = load_rife(self.store.state_dict(row.weights[0]))
        interpolator = Interpolator(network, self.device, on_pressure=self._release_idle)
        log.info("loaded %s on %s in %.1f s", row.name, self.device.place, time.monotonic() - started)
        return interpolator

    def _load_upscaler(self, row: ModelRow, strength: float) -> Upscaler:
        from framepack.models.networks import load_upscaler_network
        from framepack.models.upscaler import Upscaler

        started = time.monotonic()
        network = load_upscaler_network(row, self.store, strength)
        upscaler = Upscaler(network, self.device, on_pressure=self._release_idle)
        log.info("loaded %s on %s in %.1f s", row.name, self.device.place, time.monotonic() - started)
        return upscaler

    def _release_idle(self) -> None:
        for name in self.cache.release_idle():
            log.info("unloaded %s: memory is short", name)
