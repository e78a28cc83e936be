"""Named moments of a job at which a process may be killed with ``kill -9``. Product code knows nothing of them.

A process with the variables of `Killer.environment` wraps the functions below when it imports them. It kills itself
(or itself and the process that started it) the next time it comes to the point whose name is in the killer's file.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tests.support.injected import Injection, fault_file, on_import

_STOP: Final = "stop"
_WITH_PARENT: Final = "parent"
_SIGNAL_SECONDS: Final = 1.0  # a thread goes on until the signal has reached its process


@dataclass(frozen=True, slots=True)
class Point:
    """A moment: before or after a call of a function.

    Attributes:
        function: Where it is: module, colon, qualified name.
        is_before: Whether it is before the call.
        call: Which call it is, counted from the time at which the killer was set.
        applies: Tells from the arguments whether a call counts.
    """

    function: str
    is_before: bool = False
    call: int = 1
    applies: Callable[..., bool] = lambda *_arguments: True


def _is_output(_storage: Any, _name: Any, _folder: Any, key: Any) -> bool:
    return str(key).startswith("postprocessed_output/")


WORKER: Final = {
    "before the download": Point("framepack.net.download:Downloader.download", is_before=True),
    "after the download": Point("framepack.net.download:Downloader.download"),
    "after the probe": Point("framepack.media.read.probe:probe"),
    "in filters": Point("framepack.operations.postprocess.filters:_FrameFilter.__call__", call=4),
    "in upscale": Point("framepack.models.upscale.upscale_frames:_Batcher._upscale"),
    "in loop": Point("framepack.media.timeline.frame_cache:FrameCache.__getitem__", call=2),
    "in export": Point("framepack.operations.postprocess.export:_one_scaled", call=4),
    "in the encoder": Point("framepack.media.mux.muxer:Muxer.add", call=5),
    "in the upload": Point("framepack.storage.local:LocalStorage._place", is_before=True, applies=_is_output),
    "after the upload": Point("framepack.storage.outputs:Outputs.publish"),
    "before the outbox": Point("framepack.outbox.outbox:Outbox.add", is_before=True),
    "after the outbox": Point("framepack.outbox.outbox:Outbox.add"),
    "before the answer": Point("framepack.dispatch:Dispatcher.run"),
}
"""The points of a process that runs jobs, in the order in which a job comes to them."""

DELIVERY: Final = {
    "before an attempt to deliver": Point("framepack.net.delivery:Courier.post", is_before=True),
    "after an attempt to deliver": Point("framepack.net.delivery:Courier.post"),
    "after its outcome is stored": Point(
        "framepack.outbox.messages:Messages.save", applies=lambda _self, message: message.record.state == "delivered"
    ),
    "after the delivered message is removed": Point("framepack.outbox.outbox:Outbox._remove_pending"),
}
"""The points of a process that delivers callbacks."""

SERVER: Final = {
    "after the job's input is stored": Point("framepack.jobs.records:JobRecords.save_input"),
    "after the new job's record": Point(
        "framepack.jobs.records:JobRecords.save", applies=lambda _self, record: record.state == "queued"
    ),
    "after the running job's record": Point(
        "framepack.jobs.records:JobRecords.save", applies=lambda _self, record: record.state == "running"
    ),
    "before the result": Point("framepack.jobs.records:JobRecords.save_result", is_before=True),
    "after the result": Point("framepack.jobs.records:JobRecords.save_result"),
    "after the ended job's record": Point(
        "framepack.jobs.records:JobRecords.save", applies=lambda _self, record: record.state.is_final
    ),
    "before the input is deleted": Point("framepack.jobs.records:JobRecords.delete_input", is_before=True),
    "after the input is deleted": Point("framepack.jobs.records:JobRecords.delete_input"),
    **DELIVERY,
}
"""The points of the REST server."""

_ALL: Final = {**WORKER, **SERVER}


class Killer(Injection):
    """Has processes killed at points.

    Args:
        folder: Where its files are; a new one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, __name__, "tests.support.short_pauses")

    def set(self, point: str, *, with_parent: bool = False, only_stop: bool = False) -> None:
        """Kill the next process that comes to a point, or stop it until it gets SIGCONT.

        Args:
            point: The point.
            with_parent: Whether the process that started it is killed, too.
            only_stop: Whether it is not killed but stopped.
        """
        assert point in _ALL
        new = self._file.with_suffix(".new")
        new.write_text(f"{point}\n{_STOP if only_stop else _WITH_PARENT if with_parent else ''}")
        new.rename(self._file)


def install() -> None:
    """Wrap the functions of all points in this process, each when its module is imported."""
    file = fault_file()

    def wrap_all(module: ModuleType) -> None:
        for name, point in _ALL.items():
            if point.function.startswith(f"{module.__name__}:"):
                _wrap(module, name, point, file)

    on_import({point.function.partition(":")[0] for point in _ALL.values()}, wrap_all)


def _wrap(module: ModuleType, name: str, point: Point, file: Path) -> None:
    *owners, attribute = point.function.partition(":")[2].split(".")
    owner: Any = module
    for each in owners:
        owner = getattr(owner, each)
    function = getattr(owner, attribute)
    calls = 0

    def reach(arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        with suppress(OSError):
            wanted, _, what = file.read_text().partition("\n")
            if wanted != name or not point.applies(*arguments):
                return
            calls += 1
            if calls >= point.call:
                file.unlink()  # of several processes, one
                _strike(what)

    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if point.is_before:
            reach(arguments)
        result = function(*arguments, **named)
        if not point.is_before:
            reach(arguments)
        return result

    setattr(owner, attribute, wrapped)


def _strike(what: str) -> None:
    if what == _STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(_SIGNAL_SECONDS)
        return
    if what == _WITH_PARENT:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(_SIGNAL_SECONDS)
