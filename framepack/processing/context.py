"""What an operation may touch while it carries out one job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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
    from framepack.models.library import ModelLibrary
    from framepack.settings import Settings
    from framepack.storage.base import Storage
    from framepack.storage.outputs import Outputs

T = TypeVar("T")


class BindableEffect(Protocol):
    """What an operation composes of an effect; see `framepack.processing.effect.Effect`."""

    @property
    def params(self) -> type[Request]:
        """Model of its parameters."""

    def bind(self, params: Any) -> Callable[[Clip, Context], Clip]:
        """The effect with its parameters fixed."""


class Fetch(Protocol):
    """Brings the file behind an address into the workspace."""

    def __call__(self, url: str, max_mb: float | None = None) -> Source:
        """Fetch ``url``, of at most ``max_mb``; None: what a video may have."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """The surroundings of one job.

    Attributes:
        settings: The worker's configuration.
        job: Cancellation, progress and warnings of this job.
        workspace: The job's own temporary folder, removed when the job ends.
        models: The models there are, loaded on first use and kept warm.
        outputs: Where finished files are published.
        state: The deployment's own store, where presets and switches live, also for a job that brings a store.
        stale_removed: What dead jobs had left on this machine, which was removed before this job began.
        filter_preset: Gives the filter preset of a name, or None; the same one as long as the job runs.
        effects: The effects there are, by the name that pipelines call them.
        steps: The types of steps that they are.
        fetch: Brings the file behind an address into the workspace.
        section: The part of every source video that is used; None: all of it.
        final_transform: The last step of every video that is rendered; None: there is none.
    """

    settings: Settings
    job: Job
    workspace: Workspace
    models: ModelLibrary
    outputs: Outputs
    state: Storage
    stale_removed: RemovedFiles
    filter_preset: Callable[[str], FilterSettings | None]
    effects: Mapping[str, BindableEffect]
    steps: StepTypes
    fetch: Fetch
    section: Section | None = None
    final_transform: Callable[[Clip, Context], Clip] | None = None

    @property
    def allows_stream_copy(self) -> bool:
        """Whether coded video may be copied from sources: the whole of them is used and nothing is done to it."""
        return self.section is None and self.final_transform is None

    @contextmanager
    def loaded(self, name: str, lease: AbstractContextManager[T]) -> Iterator[T]:
        """Lease a model of ``models`` as ``lease``, telling the job that ``name`` is being loaded."""
        with ExitStack() as stack:
            with self.job.loading(name):
                model = stack.enter_context(lease)
            yield model
