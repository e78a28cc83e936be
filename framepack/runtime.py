"""The composition root: builds all parts of a worker from its settings, once per process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.callback import Callbacks
from framepack.cancellation import stoppable
from framepack.dispatch import Dispatcher
from framepack.ended_jobs import EndsInOutbox
from framepack.errors import SourceFailed, TooLarge
from framepack.media.write.encoder_choice import EncoderChoice
from framepack.media.write.encoders import H264Settings
from framepack.models.library import ModelLibrary
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.hub_snapshots import HubSnapshots
from framepack.models.weights.store import WeightsStore
from framepack.net.addresses import Policy, check_public, check_url
from framepack.net.delivery import Courier, Delivery
from framepack.net.download import Downloader
from framepack.net.signing import Signer
from framepack.outbox.deliverer import Deliverer
from framepack.outbox.outbox import FIRST_SECONDS, Outbox, Send
from framepack.processing.context import Context, Fetch
from framepack.registry import discover
from framepack.storage.keys import Key
from framepack.storage.links import key_of_own_url
from framepack.storage.open import open_job_storage, open_storage
from framepack.storage.outputs import PUBLIC_ROOT, Outputs
from framepack.storage.patience import Patience
from framepack.storage.patient import PatientStorage
from framepack.storage.presets import filter_presets
from framepack.storage.s3.job_store import try_job_store
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.files.source import Source
    from framepack.files.workspace import Workspace
    from framepack.job import Job, JobInput
    from framepack.outbox.message import CallbackRecord
    from framepack.registry import Registry
    from framepack.settings import Settings
    from framepack.storage.base import Storage

_LONGEST_RETENTION_HOURS: Final = 876_000.0  # a hundred years: dates before the year 1 do not exist
_CALLBACKS_SECONDS: Final = 10.0  # how often the store is asked for callbacks of other processes


class Runtime:
    """A worker: it keeps models loaded and the store connected between jobs.

    Creating one is cheap: models are loaded and stores connected on first use.

    Args:
        settings: Of the deployment.
        registry: The operations and effects it has; None: all that are declared.
        is_delivering: Whether it delivers the callbacks of its jobs; if not, they are left in the outbox to others.
    """

    def __init__(self, settings: Settings, registry: Registry | None = None, *, is_delivering: bool = True) -> None:
        self.settings = settings
        self._policy = Policy.from_settings(settings)
        self.snapshots = HubSnapshots.from_settings(settings)
        self.models = ModelLibrary(
            CATALOG,
            WeightsStore.from_settings(settings),
            device=settings.device,
            memory_limit_mb=settings.memory_limit_mb,
            use_fast_paths=settings.gpu_kernels == "auto",
            generator=settings.generator,
            snapshots=self.snapshots,
        )
        h264 = H264Settings(settings.video_crf, settings.video_preset)
        self.encoders = EncoderChoice(settings.encoder, h264, settings.device)
        self.outbox = Outbox(
            lambda: self.storage,
            _sender(settings, self._policy),
            retention=timedelta(hours=min(settings.job_retention_hours, _LONGEST_RETENTION_HOURS)),
        )
        self.deliverer = Deliverer(self.outbox, _CALLBACKS_SECONDS)
        callbacks = Callbacks(self._check_callback, lambda url: check_url(url, self._policy).origin)
        deliver = partial(self.deliverer.deliver_now, seconds=FIRST_SECONDS) if is_delivering else _leave
        ended_jobs = EndsInOutbox(self.outbox, self._open_store, deliver, is_reported=not is_delivering)
        self.dispatcher = Dispatcher(registry or discover(), self.job_context, callbacks, ended_jobs)

    @cached_property
    def storage(self) -> Storage:
        """The deployment's store, opened on first use.

        Raises:
            FramepackError: The store cannot be opened.
        """
        return open_storage(self.settings)

    def run(self, job_input: JobInput, job: Job) -> Answer:
        """Run one job; see `Dispatcher.run`."""
        return self.dispatcher.run(job_input, job)

    def location(self, answer: Answer) -> Path | None:
        """The file of an answer's ``output_path`` on this machine; None if the store is not a folder."""
        path = answer.get("output_path")
        return self.file_of(Key(path.removeprefix(PUBLIC_ROOT))) if isinstance(path, str) else None

    def file_of(self, key: Key) -> Path | None:
        """The file of an object on this machine; None if the store is not a folder."""
        kind, _, folder = self.settings.storage.partition(":")
        return Path(folder).joinpath(*key.segments) if kind == "file" else None

    @contextmanager
    def job_context(self, job: Job, job_input: JobInput) -> Iterator[Context]:
        """Create the context of a job, and clean up when the job ends."""
        from framepack.files.workspace import Workspace, remove_stale

        storage = self._storage_of(job_input, job)
        stale_removed = remove_stale(self.settings.temp_dir)
        with Workspace(self.settings.temp_dir) as workspace:
            yield Context(
                settings=self.settings,
                job=job,
                workspace=workspace,
                models=self.models,
                encoders=self.encoders,
                outputs=Outputs(storage, round(self.settings.inline_limit_mb * MB)),
                state=self.storage,
                stale_removed=stale_removed,
                filter_preset=cache(filter_presets(self.storage, self.settings.max_presets).find),
                effects=self.dispatcher.registry.effects,
                steps=self.dispatcher.registry.steps,
                fetch=self._fetcher(job, workspace),
            )

    def _check_callback(self, url: str) -> None:
        with suppress(SourceFailed):  # a receiver that cannot be resolved now may exist when the job is done
            check_public(url, self._policy)

    def _open_store(self, job_input: JobInput) -> Storage:
        """The deployment's store, or the job's own."""
        if job_input.s3_config is None:
            return self.storage
        return open_job_storage(self.settings, job_input.s3_config, self._policy)

    def _storage_of(self, job_input: JobInput, job: Job) -> Storage:
        """The store of a job's outputs, as patient as the job; the job's own one is tried first."""
        storage = self._open_store(job_input)
        if job_input.is_short:
            return storage
        if job_input.s3_config is not None:
            with stoppable(job.check):
                try_job_store(storage)
        return self._patient(storage, job)

    def _patient(self, storage: Storage, job: Job) -> Storage:
        return PatientStorage(storage, job, Patience(self.settings.store_patience_seconds))

    def _fetcher(self, job: Job, workspace: Workspace) -> Fetch:
        from framepack.files.source import Source

        downloader = Downloader.from_settings(self.settings)

        def fetch(url: str, max_mb: float | None = None, *, part: Job | None = None) -> Source:
            running = part or job
            limit_mb = self.settings.max_source_mb if max_mb is None else max_mb
            max_bytes = round(limit_mb * MB)

            def download(address: str, to: Path) -> str:
                return downloader.download(address, to, max_bytes=max_bytes, check=running.check)

            key = key_of_own_url(url, self.settings.public_url)
            if key is None:
                return Source.from_url(url, workspace, download)
            storage = self._patient(self.storage, running)
            stored = storage.stat(key)
            if stored is not None and stored.size_bytes > max_bytes:
                raise TooLarge(f"The stored file is larger than the {limit_mb:g} MB allowed.")
            return Source.from_store(key.name, workspace, partial(storage.fetch, key))

        return fetch


def _sender(settings: Settings, policy: Policy) -> Send:
    """The function that attempts to deliver callbacks, which are signed if there is a secret."""
    courier = Courier(policy)
    secret = settings.webhook_secret
    signer = Signer(secret.get_secret_value()) if secret is not None else None

    def send(url: str, message_id: str, body: bytes, headers: Mapping[str, str], limit_seconds: float) -> Delivery:
        signature = signer.sign(message_id, body) if signer is not None else {}
        return courier.post(url, body, {**headers, **signature}, limit_seconds)

    return send


def _leave(_record: CallbackRecord) -> None:
    """Leave a callback in the outbox."""
