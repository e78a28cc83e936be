"""``framepack run``: one operation on files of this machine, with the worker's own code and no server."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framepack.dispatch import Call, is_failure
from framepack.errors import FramepackError, InvalidField, InvalidSource
from framepack.job import Job, Progress
from framepack.runtime import Runtime
from framepack.schemas import VideoRequest, VideoResponse, from_text
from framepack.storage.keys import Key, safe_name
from framepack.storage.outputs import PUBLIC_ROOT
from framepack.worker.progress import described, shown

if TYPE_CHECKING:
    from framepack.registry import AnyOperation
    from framepack.settings import Settings


_INTERVAL_SECONDS: Final = 0.25


class Failed(FramepackError):
    """The operation's own sentence, for the person at the terminal."""


def run(settings: Settings, name: str, source: Path, target: Path, options: Sequence[str]) -> list[str]:
    """Apply one operation to a video file and write the result to ``target``.

    Args:
        settings: The worker's; its store is not touched.
        name: An operation that makes one video of one video.
        source: The video.
        target: Where the result goes; replaced when all went well.
        options: ``--field value`` pairs, as the operation's fields are called, with ``-`` or ``_``.

    Returns:
        The operation's warnings.

    Raises:
        FramepackError: with the sentence that says what was wrong.
    """
    if not source.is_file():
        raise InvalidSource(f"{source} is not a file.")
    with tempfile.TemporaryDirectory(prefix="framepack-run-") as folder:
        runtime = Runtime(settings.model_copy(update={"storage": f"file:{folder}", "inline_limit_mb": 0}))
        operation = runtime.dispatcher.registry.find(name)
        fields = _fields(operation, options)
        key = Key("sources") / (safe_name(source.stem, "video") + source.suffix)
        runtime.storage.put_file(key, source)
        call = Call({"endpoint": operation.name, **fields, "video_url": f"{PUBLIC_ROOT}{key}"})
        answer = runtime.run(call, Job("run", _Line().show))
        if is_failure(answer):
            raise Failed(answer["error"])
        made = runtime.location(answer)
        if made is None:
            raise InvalidField(f"{name} makes no video.")
        shutil.move(made, target)
    return list(answer.get("warnings", ()))


def _fields(operation: AnyOperation, options: Sequence[str]) -> dict[str, Any]:
    """The fields that the options name.

    Raises:
        InvalidField: the operation does not make one video of one, or an option is not ``--field value``.
    """
    if not (issubclass(operation.request, VideoRequest) and issubclass(operation.response, VideoResponse)):
        raise InvalidField(f"{operation.name} does not make one video of one video.")
    pairs = zip(options[::2], options[1::2], strict=False)
    if len(options) % 2 or not all(option.startswith("--") for option in options[::2]):
        raise InvalidField("Options must come in pairs, such as --scale-factor 2.")
    names = ((option.removeprefix("--").replace("-", "_"), text) for option, text in pairs)
    return {name: from_text(operation.request, name, text) for name, text in names}


@dataclass(slots=True)
class _Line:
    """Progress on a terminal's last line, a few times a second; nothing where no person looks."""

    shown_at: float = 0.0

    def show(self, progress: Progress) -> None:
        is_last = progress.done == progress.total
        if sys.stderr.isatty() and (is_last or time.monotonic() - self.shown_at >= _INTERVAL_SECONDS):
            self.shown_at = time.monotonic()
            end = "\n" if is_last else ""
            print(f"\r{described(shown(progress))}\033[K", end=end, file=sys.stderr, flush=True)  # noqa: T201 - for people
