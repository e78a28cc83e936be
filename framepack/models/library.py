"""The models that a worker offers: list them, and lease them loaded from the cache."""

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
from framepack.models.weights.shortage import Shortage
from framepack.spelling import shortened

if TYPE_CHECKING:
    from framepack.models.faces.detector import Detector
    from framepack.models.faces.restorer import FaceRestorer
    from framepack.models.interpolate.interpolator import Interpolator
    from framepack.models.language.captioner import Captioner
    from framepack.models.language.enhancer import Enhancer
    from framepack.models.spec import Group
    from framepack.models.upscale.upscaler import Upscaler
    from framepack.models.weights.catalog import Catalog
    from framepack.models.weights.hub_snapshots import HubSnapshots
    from framepack.models.weights.store import WeightsStore

T = TypeVar("T")

_LANGUAGE: Final[tuple[Group, ...]] = ("enhancer", "captioner")
_NO_ESTIMATE: Final = 0  # the size is unknown until the cache has loaded and measured the model


class ModelLibrary:
    """Gives jobs access to all models.

    Args:
        catalog: The published models.
        store: Source of weights and of the deployment's own models.
        device: The setting: "auto", "cpu", "cuda" or "cuda:N".
        memory_limit_mb: Maximum memory of models and inference in units of 10^6 bytes; None: all free memory.
        use_fast_paths: Whether a GPU may use kernels of our own and CUDA graphs, if they prove themselves.
        generator: The setting "package.module:factory", or None if there is no main video model.
        snapshots: Source of language models, or None if there are none.

    Attributes:
        cache: The loaded models; lists and unloads them.
    """

    def __init__(  # noqa: PLR0913 - one for each setting that concerns models
        self,
        catalog: Catalog,
        store: WeightsStore,
        *,
        device: str = "auto",
        memory_limit_mb: int | None = None,
        use_fast_paths: bool = True,
        generator: str | None = None,
        snapshots: HubSnapshots | None = None,
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.cache = ModelCache(lambda: self.device)
        self._setting = device
        self._limit_mb = memory_limit_mb
        self._use_fast_paths = use_fast_paths
        self._generator = generator
        self._snapshots = snapshots

    @cached_property
    def device(self) -> Device:
        """The device that networks run on; determined when the first network is needed.

        Raises:
            Unavailable: The settings name a GPU that does not exist.
        """
        return Device.find(self._setting, self._limit_mb, self.cache)

    @property
    def device_in_use(self) -> str | None:
        """The device that networks run on, such as "cuda:0"; None until the first network is needed."""
        found: Device | None = self.__dict__.get("device")  # where cached_property stores it
        return None if found is None else str(found.torch_device)

    def upscalers(self) -> Iterator[ModelRow]:
        """Yield the upscale models: the published ones, then the deployment's own."""
        yield from self.catalog.group("upscaler")
        yield from self.store.custom_models()

    def missing(self) -> list[str]:
        """Return the names of published models whose weights are missing or wrong."""
        return [
            row.name
            for row in self.catalog.rows
            if any(self.store.where(weights) in {"missing", "wrong"} for weights in row.weights)
        ]

    def shortage(self, row: ModelRow) -> Shortage | None:
        """What this machine lacks for a model; None if nothing."""
        return self.store.shortage(row)

    def other_shortages(self) -> Iterator[tuple[str, Group, Shortage | None]]:
        """Yield name, group and shortage of each model that is no upscaler, except the main model."""
        for row in self.catalog.rows:
            if row.group != "upscaler":
                yield row.name, row.group, self.store.shortage(row)
        if self._snapshots is None:
            return
        for group in _LANGUAGE:
            try:
                repository = self._snapshots.repository_for(group)
            except ModelUnavailable as error:
                yield group, group, Shortage(error.message)
            else:
                yield repository.name, group, self._snapshots.shortage(repository)

    def upscaler_row(self, name: str) -> ModelRow:
        """Return the row of an upscale model.

        Raises:
            InvalidField: There is no such model; the message names the valid ones.
        """
        row = next((row for row in self.upscalers() if row.name == name), None)
        if row is None:
            valid = ", ".join(row.name for row in self.upscalers())
            raise InvalidField(f"Invalid model '{shortened(name)}'. Valid models: {valid}.")
        return row

    def upscaler(self, name: str, denoise_strength: float = 1.0) -> AbstractContextManager[Upscaler]:
        """Lease an upscale model: ``with library.upscaler(name) as upscaler``.

        Args:
            name: Name of one of `upscalers`.
            denoise_strength: 0 keeps noise, 1 removes most; ignored by models with only one network.

        Raises:
            InvalidField: There is no such model.
            ModelUnavailable: Its weights are unavailable.
        """
        row = self.upscaler_row(name)
        strength = round(denoise_strength, 2) if len(row.weights) > 1 else 1.0
        version = row.weights[0].sha256[:12]  # users may replace the files of their own models
        spec = ModelSpec(
            key=f"{row.name}:{version}@{strength:.2f}",
            name=row.name,
            group="upscaler",
            load=partial(self._load_upscaler, row, strength),
            memory_mb=row.memory_mb,
        )
        return self.cache.lease(spec)

    def interpolator(self) -> AbstractContextManager[Interpolator]:
        """Lease the frame interpolation model: ``with library.interpolator() as interpolator``.

        Raises:
            ModelUnavailable: Its weights are unavailable.
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
        """Lease the face detection model: ``with library.face_detector() as detector``.

        Raises:
            ModelUnavailable: Its weights are unavailable.
        """
        row, _ = self._face_rows()
        load: Callable[[], Detector] = partial(self._load_detector, row)
        return self.cache.lease(ModelSpec(row.name, row.name, "face", load, row.memory_mb))

    def face_restorer(self) -> AbstractContextManager[FaceRestorer]:
        """Lease the face restoration model: ``with library.face_restorer() as restorer``.

        Raises:
            ModelUnavailable: Its weights are unavailable.
        """
        _, row = self._face_rows()
        load = partial(self._load_restorer, row)
        return self.cache.lease(ModelSpec(row.name, row.name, "face", load, row.memory_mb))

    def ensure_faces(self) -> None:
        """Download the weights of the face models unless they are in the weights folder.

        Raises:
            ModelUnavailable: They cannot be downloaded.
            DiskFull: There is no disk space for them.
        """
        for row in self._face_rows():
            for weights in row.weights:
                if self.store.where(weights) != "folder":
                    self.store.fetch(weights)

    def enhancer(self) -> AbstractContextManager[Enhancer]:
        """Lease the prompt enhancement model: ``with library.enhancer() as enhancer``.

        Raises:
            ModelUnavailable: It is unavailable.
        """

        def load(folder: Path) -> Enhancer:
            from framepack.models.language.enhancer import Enhancer

            return Enhancer(folder, self.device)

        return self._language_model("enhancer", load)

    def captioner(self) -> AbstractContextManager[Captioner]:
        """Lease the image captioning model: ``with library.captioner() as captioner``.

        Raises:
            ModelUnavailable: It is unavailable.
        """

        def load(folder: Path) -> Captioner:
            from framepack.models.language.captioner import Captioner

            return Captioner(folder, self.device)

        return self._language_model("captioner", load)

    def generator(self) -> AbstractContextManager[Any]:
        """Lease the main video model, an object of the type that the deployment's factory returns.

        Raises:
            ModelUnavailable: The deployment has none, or its factory failed.
        """
        if self._generator is None:
            raise ModelUnavailable("This worker has no main video model.")
        spec: ModelSpec[Any] = ModelSpec(
            key=self._generator,
            name=None,
            group="generator",
            load=partial(self._load_generator, self._generator),
            memory_mb=_NO_ESTIMATE,
        )
        return self.cache.lease(spec)

    def _face_rows(self) -> tuple[ModelRow, ModelRow]:
        """Return the rows of the detection model and of the restoration model."""
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
        repository = snapshots.repository_for(group)
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

        network = load_rife(self.store.state_dict(row.weights[0]))
        return Interpolator(network, self.device, use_fast_path=self._use_fast_paths)

    def _load_upscaler(self, row: ModelRow, strength: float) -> Upscaler:
        from framepack.models.upscale.upscaler import Upscaler
        from framepack.models.weights.networks import load_upscaler_network

        network = load_upscaler_network(row, self.store, strength)
        return Upscaler(network, self.device, use_fast_path=self._use_fast_paths)

    def _load_generator(self, reference: str) -> Any:
        from framepack.models.generator import build_generator

        return build_generator(reference, self.device.torch_device)
