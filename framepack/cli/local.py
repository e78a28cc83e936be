"""A runtime for local files: sources are read in place, and results stay files."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framepack.errors import NotFound, TooLarge
from framepack.runtime import Runtime
from framepack.storage.outputs import Outputs, PublishedOutput, ResultFolder
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.files.source import Source
    from framepack.job import Job, JobInput
    from framepack.media.clip import Clip, Format
    from framepack.media.section import Section
    from framepack.processing.context import Context
    from framepack.processing.effect import ClipTransform
    from framepack.settings import Settings

_UNLIMITED: Final[dict[str, float]] = {
    "max_source_mb": math.inf,
    "max_seconds": math.inf,
    "max_frames": sys.maxsize,
    "max_source_gigapixels": math.inf,
    "max_work_gigapixels": math.inf,
    "max_output_gigapixels": math.inf,
    "max_output_frames": sys.maxsize,
    "max_extracted_frames": sys.maxsize,
    "max_join_videos": sys.maxsize,
    "max_operations": sys.maxsize,
}
"""Limits that protect servers. Here they apply only if they are set explicitly."""

_MAX_WIDTH: Final = 4096  # the maximum of the effect "export"


@dataclass(slots=True)
class LocalRequest:
    """The files of a job, and options that are not fields.

    Attributes:
        sources: Files by their names in the job's fields.
        section: The section of the source video to use; None for all of it.
        format: Format to encode the result in; None for the operation's own.
    """

    sources: dict[str, Path] = field(default_factory=dict)
    section: Section | None = None
    format: Format | None = None


class FileRuntime(Runtime):
    """A runtime for local files. Results stay in its folder until they are moved.

    Args:
        settings: The settings. Their store is not used.
        folder: Folder for everything that it writes.

    Attributes:
        request: The request of the next job.
        results: Folder of the finished videos.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        limits = {name: value for name, value in _UNLIMITED.items() if name not in settings.model_fields_set}
        own: dict[str, Any] = {"storage": f"file:{folder / 'store'}", "temp_dir": folder, "inline_limit_mb": 0}
        super().__init__(settings.model_copy(update=limits | own))
        self.request = LocalRequest()
        self.results = folder / "results"

    @contextmanager
    def job_context(self, job: Job, job_input: JobInput) -> Iterator[Context]:
        """The context of a job, in which sources and results are files."""
        request = self.request
        self.results.mkdir(parents=True, exist_ok=True)
        with super().job_context(job, job_input) as ctx:
            yield replace(
                ctx,
                fetch=self._open,
                outputs=FileOutputs(ctx.outputs.storage, self.results),
                section=request.section,
                final_transform=None if request.format is None else encode_as(request.format),
            )

    def _open(self, url: str, max_mb: float | None = None, *, part: Job | None = None) -> Source:
        from framepack.files.source import Source

        del part  # nothing takes long
        path = self.request.sources.get(url)
        if path is None:
            raise NotFound(f"{url} is not a file of this job.")
        size_mb = path.stat().st_size / MB
        if max_mb is not None and size_mb > max_mb:
            raise TooLarge(f"{path} has {size_mb:.1f} MB; at most {max_mb:g} MB are allowed.")
        return Source(path, path.name)


class FileOutputs(Outputs):
    """Keeps results as files instead of copying them to a store."""

    def __init__(self, storage: Any, results: Path) -> None:
        super().__init__(storage, 0)
        self._results = results

    def publish(self, path: Path, *, folder: ResultFolder, stem: str, suffix: str) -> PublishedOutput:
        """Move a finished file to the folder of results."""
        filename = self.filename(stem, suffix, path.suffix)
        kept = path.rename(self._results / filename)
        return PublishedOutput(folder.key / filename, filename, kept.stat().st_size, "", None)


def encode_as(format_name: Format) -> ClipTransform:
    """A last step that changes the format in which the result is encoded."""

    def step(clip: Clip, ctx: Context) -> Clip:
        from framepack.media.clip import Encoding

        if clip.pixel_aspect != Fraction(1):  # only MP4 stores a pixel aspect ratio
            export = ctx.effects["export"]
            params = export.params.parse({"format": format_name, "max_width": _MAX_WIDTH})
            clip = export.bind(params)(clip, ctx)
        return replace(clip, encoding=Encoding(format_name))

    return step
