"""Several sources of one job: they are brought and probed beside each other, and used in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final

from framepack.api.schemas import VideoRequest
from framepack.cancellation import stoppable
from framepack.closing import closing
from framepack.errors import Cancelled, FramepackError
from framepack.files.parallel import in_parallel
from framepack.processing.render import bring_source, charge_decoding

if TYPE_CHECKING:
    from framepack.files.source import Source
    from framepack.job import Job
    from framepack.media.read.probe import VideoInfo
    from framepack.processing.context import Context

_AT_ONCE: Final = 4  # sources on their way
_PROBED_AT_ONCE: Final = 2  # each has a decoder in memory


def open_sources(urls: Sequence[str], field: str, ctx: Context) -> Iterator[tuple[Source, VideoInfo]]:
    """Yield what `open_source` returns for each URL, in order; close the iterator to stop early.

    Warnings, charges and errors come in order, too: they are those that there would be if each source was opened
    after the one before. Once a source has failed, those after it are stopped.

    Args:
        urls: The URLs.
        field: The request's field that has them; messages of errors begin with it and the index of the URL.
        ctx: The context of the job.

    Raises:
        FramepackError: As `open_source`.
    """
    parts = [ctx.job.part() for _ in urls]
    probing = BoundedSemaphore(_PROBED_AT_ONCE)

    def bring(index: int) -> tuple[Source, VideoInfo]:
        part = parts[index]
        try:
            part.check()
            with stoppable(part.check):
                return bring_source(VideoRequest(video_url=urls[index]), replace(ctx, job=part), probing)
        except BaseException:
            _cancel(parts[index + 1 :])
            raise

    with closing(
        in_parallel(bring, range(len(urls)), ahead=len(urls), workers=min(len(urls), _AT_ONCE), name="source")
    ) as brought:
        try:
            for index, part in enumerate(parts):
                with _named(f"{field}[{index}]: "):
                    source, info = next(brought)
                    for sentence in part.warnings:
                        ctx.job.warn(sentence)
                    charge_decoding(info, ctx)
                yield source, info
        except BaseException:
            _cancel(parts)
            raise


def _cancel(parts: Iterable[Job]) -> None:
    for part in parts:
        part.cancel()


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Let the messages of errors begin with the place of the source."""
    try:
        yield
    except Cancelled:  # it is the job that was cancelled
        raise
    except FramepackError as error:
        raise type(error)(place + error.message) from error
