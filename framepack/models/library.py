"""The models a worker offers: what there is, and each of them loaded, warm and leased."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from framepack.errors import InvalidField, ModelUnavailable
from framepack.models.memory.cache import ModelCache
from framepack.models.memory.device import Device
from framepack.models.spec import ModelRow, ModelSpec

if TYPE_CHECKING:
    from framepack.models.faces.detector import Detector
    from framepack.models.faces.restorer import FaceRestorer
    from framepack.models.interpolate.interpolator import Interpolator
    from framepack.models.language.captioner import Captioner
    from framepack.models.language.enhancer import Enhancer
    from framepack.models.spec import Group
    from framepack.models.upscale.upscaler import Upscaler
    from framepack.models.weights.catalog import Catalog
    from framepack.models.weights.hub_snapshots import Snapshots
    from framepack.models.weights.store import WeightsStore

T = TypeVar("T")

_NO_ESTIMATE: Final = 0  # of a model nobody knows before it is there; the cache measures it when it is


class ModelLibrary:
    """Everything a job asks of models.

    Args:
        catalog: The published models.
        store: Where weights come from; knows the deployment's own models.
        device: The setting: "auto", "cpu", "cuda" or "cuda:N".
        memory_limit_mb: Memory that models and their work may use, None for what is free.
        generator: The setting: "package.module:factory", or None if there is no main video model.
        snapshots: Where language models come from, or None if there are none.

    Attributes:
        cache: The loaded models; says what is loaded and unloads it.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: WeightsStore,
        *,
        device: str = "auto",
        memory_limit_mb: int | None = None,
        generator: str | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.cache = ModelCache(lambda: self.device)
        self._setting = device
        self._limit_mb = memory_limit_mb
        self._generator = generator
        self._snapshots = snapshots

    @cached_property
    def device(self) -> Device:
        """Where networks run; found when the first one is needed.

        Raises:
            Unavailable: the settings name a GPU that is not there.
        """
        return Device.find(self._setting, self._limit_mb, self.cache)

    @property
    def device_in_use(self) -> str | None:
        """Where networks run, such as "cuda:0"; None while nothing has needed it."""
        found: Device | None = self.__dict__.get("device")  # as the cached property keeps it
        return None if found is None else str(found.place)

    def upscalers(self) -> Iterator[ModelRow]:
        """The upscale models: the published ones, then the deployment's own."""
        yield from self.catalog.group("upscaler")
        yield from self.store.custom_models()

    def missing(self) -> list[str]:
        """Names of published models whose weights are not here."""
        return [
            row.name
            for row in self.catalog.rows
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
        row = next(iter(self.catalog.group("interpolator")), None)
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

    def face_detector(self) -> AbstractContextManager[Detector]:
        """Lease the model that finds faces: ``with library.face_detector() as detector``.

        Raises:
            ModelUnavailable: its weights are not to be had.
        """
        row, _ = self._face_rows()
        load: Callable[[], Detector] = partial(self._load_detector, row)
        return self.cache.lease(ModelSpec(row.name, row.name, "face", load, row.memory_mb))

    def face_restorer(self) -> AbstractContextManager[FaceRestorer]:
        """Lease the model that restores faces: ``with library.face_restorer() as restorer``.

        Raises:
            ModelUnavailable: its weights are not to be had.
        """
        _, row = self._face_rows()
        load = partial(self._load_restorer, row)
        return self.cache.lease(ModelSpec(row.name, row.name, "face", load, row.memory_mb))

    def ensure_faces(self) -> None:
        """Bring the weights for finding and restoring faces here, unless they are.

        Raises:
            ModelUnavailable: they are not to be had.
            DiskFull: there is no room to fetch them.
        """
        for row in self._face_rows():
            for weights in row.weights:
                if self.store.where(weights) != "folder":
                    self.store.fetch(weights)

    def enhancer(self) -> AbstractContextManager[Enhancer]:
        """Lease the model that writes prompts out: ``with library.enhancer() as enhancer``.

        Raises:
            ModelUnavailable: it is not to be had.
        """

        def load(folder: Path) -> Enhancer:
            from framepack.models.language.enhancer import Enhancer

            return Enhancer(folder, self.device)

        return self._language_model("enhancer", load)

    def captioner(self) -> AbstractContextManager[Captioner]:
        """Lease the model that describes frames: ``with library.captioner() as captioner``.

        Raises:
            ModelUnavailable: it is not to be had.
        """

        def load(folder: Path) -> Captioner:
            from framepack.models.language.captioner import Captioner

            return Captioner(folder, self.device)

        return self._language_model("captioner", load)

    def generator(self) -> AbstractContextManager[Any]:
        """Lease the main video model, whatever the deployment's factory makes.

        Raises:
            ModelUnavailable: the deployment names none, or it cannot be built.
        """
        if self._generator is None:
            raise ModelUnavailable("This worker has no video generation model.")
        spec: ModelSpec[Any] = ModelSpec(
            key=self._generator,
            name=None,
            group="generator",
            load=partial(self._load_generator, self._generator),
            memory_mb=_NO_ESTIMATE,
        )
        return self.cache.lease(spec)

    def _face_rows(self) -> tuple[ModelRow, ModelRow]:
        """The one that finds faces and the one that restores them."""
        rows = self.catalog.group("face")
        if len(rows) != 2:  # noqa: PLR2004 - faces take both
            raise ModelUnavailable("This worker has no models for faces.")
        return rows[0], rows[1]

    def _load_detector(self, row: ModelRow) -> Detector:
        from framepack.models.faces.detector import YuNet

        return YuNet(self.store.content(row.weights[0]))

    def _load_restorer(self, row: ModelRow) -> FaceRestorer:
        from framepack.models.faces.restorer import FaceRestorer, load_face_network

        return FaceRestorer(load_face_network(self.store.state_dict(row.weights[0])), self.device)

    def _language_model(self, group: Group, load: Callable[[Path], T]) -> AbstractContextManager[T]:
        snapshots = self._snapshots
        if snapshots is None:
            raise ModelUnavailable(f"This worker has no {group}.")
        repository = snapshots.chosen(group)
        spec: ModelSpec[T] = ModelSpec(
            key=f"{repository.folder or repository.name}@{repository.revision}",
            name=repository.name,
            group=group,
            load=lambda: load(snapshots.open(repository)),
            memory_mb=repository.memory_mb * (1 if self.device.is_cuda else 2),  # a CPU may need single precision
        )
        return self.cache.lease(spec)

    def _load_interpolator(self, row: ModelRow) -> Interpolator:
        from framepack.models.interpolate.interpolator import Interpolator
        from framepack.models.interpolate.rife import load_rife

        return Interpolator(load_rife(self.store.state_dict(row.weights[0])), self.device)

    def _load_upscaler(self, row: ModelRow, strength: float) -> Upscaler:
        from framepack.models.upscale.upscaler import Upscaler
        from framepack.models.weights.networks import load_upscaler_network

        return Upscaler(load_upscaler_network(row, self.store, strength), self.device)

    def _load_generator(self, reference: str) -> Any:
        from framepack.models.generator import build_generator

        return build_generator(reference, self.device.place)
