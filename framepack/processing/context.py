"""The context of a job: everything that an operation may use while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from framepack.processing.limits import Budget
from framepack.processing.preloading import Preloading

if TYPE_CHECKING:
    from framepack.api.filter_settings import FilterSettings
    from framepack.api.schemas import Request
    from framepack.api.workflow import StepTypes
    from framepack.files.removed import RemovedFiles
    from framepack.files.source import Source
    from framepack.files.workspace import Workspace
    from framepack.job import Job
    from framepack.media.clip import Clip
    from framepack.media.section import Section
    from framepack.media.write.encoder_choice import EncoderChoice
    from framepack.models.library import ModelLibrary
    from framepack.settings import Settings
    from framepack.storage.base import Storage
    from framepack.storage.outputs import Outputs

T = TypeVar("T")


class BindableEffect(Protocol):
    """The part of an effect that operations use; see `framepack.processing.effect.Effect`."""

    @property
    def params(self) -> type[Request]:
        """Model of its parameters."""

    @property
    def needs_model(self) -> Callable[[Any], bool]:
        """Whether it runs a network with the given parameters."""

    def bind(self, params: Any) -> Callable[[Clip, Context], Clip]:
        """The effect with its parameters fixed."""


class Fetch(Protocol):
    """Downloads the file at an address into the workspace."""

    def __call__(self, url: str, max_mb: float | None = None, *, part: Job | None = None) -> Source:
        """Fetch ``url``, of at most ``max_mb`` megabytes; None means the limit of videos.

        It stops when the job is cancelled, or the ``part`` of it that it belongs to.
        """
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """The context of one job.

    Attributes:
        settings: The worker's configuration.
        job: Cancellation, progress and warnings of this job.
        workspace: The job's temporary folder, removed when the job ends.
        models: The available models, loaded on first use and kept in memory.
        encoders: Chooses the encoder of H.264.
        outputs: Where finished files are published.
        state: The deployment's store, which holds presets and switches, even if the job brings its own store for
            outputs.
        stale_removed: Files of crashed jobs that were removed from this machine before this job.
        filter_preset: Looks up a filter preset by name (None if there is none); consistent for the whole job.
        effects: All effects, by their names in pipelines.
        steps: The types of the steps that the effects are.
        fetch: Downloads the file at an address into the workspace.
        budget: The frames x pixels that the job has asked for so far.
        section: The part of each source video to use; None means all of it.
        final_transform: Applied last to every video that is rendered; None if there is none.
        preloading: Loads the job's first model beside the download of its source.
    """

    settings: Settings
    job: Job
    workspace: Workspace
    models: ModelLibrary
    encoders: EncoderChoice
    outputs: Outputs
    state: Storage
    stale_removed: RemovedFiles
    filter_preset: Callable[[str], FilterSettings | None]
    effects: Mapping[str, BindableEffect]
    steps: StepTypes
    fetch: Fetch
    budget: Budget = field(default_factory=Budget)
    section: Section | None = None
    final_transform: Callable[[Clip, Context], Clip] | None = None
    preloading: Preloading = field(default_factory=Preloading)

    @property
    def allows_stream_copy(self) -> bool:
        """Whether encoded packets of a source may be copied: all of it is used, and no final transform changes it."""
        return self.section is None and self.final_transform is None

    def preload(self, lease: Callable[[], AbstractContextManager[object]]) -> None:
        """Begin to load a model that the job will need, while its source is still on the way; see `Preloading`."""
        self.preloading.begin(lease)

    @contextmanager
    def loaded(self, name: str, lease: AbstractContextManager[T]) -> Iterator[T]:
        """Enter the lease of a model, reporting that ``name`` is being loaded until the model is there."""
        with ExitStack() as stack:
            self.job.measurements.has_network = True
            with self.job.loading(name):
                model = stack.enter_context(lease)
            yield model
