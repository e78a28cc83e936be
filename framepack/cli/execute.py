"""Runs the jobs of one command line: shows them, delivers their results, and says how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.answer import is_failure
from framepack.checks.temp import check_temp
from framepack.cli.commands import Order, Task, tasks
from framepack.cli.display import Display, display, duration, stderr_console
from framepack.cli.inputs import gather_frames, stage_frames
from framepack.cli.local import FileRuntime
from framepack.cli.output import print_json, print_path
from framepack.cli.session import Log, Session, Stop, nothing_kept
from framepack.cli.target import NotDelivered, deliver, free_name
from framepack.errors import (
    FramepackError,
    InvalidField,
    InvalidSettings,
    InvalidSource,
    StorageFailed,
    UnknownEndpoint,
)
from framepack.files.workspace import Workspace, remove_stale
from framepack.media.read.probe import probe

if TYPE_CHECKING:
    from framepack.answer import Answer
    from framepack.settings import Settings

USAGE: Final = 2
FAILED: Final = 1

_KEPT: Final = "kept"
_LOGS: Final = "logs"
_USAGE_CODES: Final = {each.code for each in (InvalidField, InvalidSource, InvalidSettings, UnknownEndpoint)}
_DEFECT: Final = FramepackError.code
_CANCELLED: Final = "cancelled"
_PLACES: Final = ("output_path", "output_url", "output_filename", "output_video_base64", "folder_name", "frames_path")
_SLOW: Final = "RRDBNet"
_QUICK: Final = "SRVGGNetCompact"


def status_of(code: object) -> int:
    """The exit status for an error of this code."""
    return USAGE if code in _USAGE_CODES else FAILED


def perform(order: Order, settings: Settings) -> int:
    """Carry out a command line and return its exit status.

    Raises:
        FramepackError: the command line is wrong; nothing was done.
    """
    planned = tasks(order)
    if (finding := check_temp(settings)).state == "error":
        raise StorageFailed(str(finding))
    remove_stale(settings.temp_dir)
    with Workspace(settings.temp_dir) as space:
        stop = Stop(space.folder, wants_json=bool(order.given.get("json")))
        shown = display(stderr_console())
        log = Log(shown.note, settings.temp_dir / _LOGS, debug=bool(order.given.get("debug")))
        with stop.listening(), log.kept(), shown:
            runtime = FileRuntime(settings, space.folder)
            run = Run(order, Session(runtime, shown, stop), log, settings.temp_dir / _KEPT, len(planned) > 1)
            shown.on_loaded = run.warn_of_slow_model
            for task in planned:
                if stop.number:
                    run.is_cut = True
                    break
                run.carry_out(task)
    run.print_answers()
    return stop.status if run.is_cut else run.status


@dataclass(slots=True)
class Run:
    """One command line under way.

    Attributes:
        order: What was asked for.
        session: Does the work.
        log: Keeps the tracebacks of defects.
        refuge: Folder for results that cannot be delivered.
        several: Whether there is more than one task.
        status: Exit status of what was done so far.
        is_cut: Whether a signal has ended it before everything was done.
        answers: What is printed on stdout as JSON.
        hinted: Models that were called slow.
    """

    order: Order
    session: Session
    log: Log
    refuge: Path
    several: bool = False
    status: int = 0
    is_cut: bool = False
    answers: list[Answer] = field(default_factory=list)
    hinted: set[str] = field(default_factory=set)

    @property
    def shown(self) -> Display:
        """Where people look."""
        return self.session.display

    @property
    def wants_json(self) -> bool:
        """Whether results and errors are for a program."""
        return bool(self.order.given.get("json"))

    def carry_out(self, task: Task) -> None:
        """Carry out one task and deliver its result; what goes wrong is said and stays with it."""
        began = time.monotonic()
        self.shown.begin(task.label)
        try:
            answer = self._answer(task)
            if is_failure(answer):
                self._fail(task, answer)
            elif task.target is None:
                self.answers.append(_without_places(answer))
            else:
                self._deliver(task, answer, began)
        except FramepackError as error:
            self._fail(task, {"error": error.message, "code": error.code})

    def print_answers(self) -> None:
        """Print the results: names of files, or JSON where the answer is the result or a program asks."""
        if self.wants_json or self.order.shape.gives == "answer":
            if self.answers:
                print_json(self.answers if self.several else self.answers[0])
            return
        for answer in self.answers:
            print_path(answer["output_path"])

    def warn_of_slow_model(self, name: str) -> None:
        """Say, once, that a model which has just been loaded takes long without a GPU, and which one does not."""
        models = self.session.runtime.models
        upscalers = {row.name: row for row in models.upscalers()}
        if name in self.hinted or name not in upscalers or not upscalers[name].architecture.startswith(_SLOW):
            return
        self.hinted.add(name)
        if not models.device.is_cuda:
            missing = models.missing()
            quick = [row.name for row in upscalers.values() if row.architecture.startswith(_QUICK)]
            best = next((each for each in quick if each not in missing), next(iter(quick), name))
            self.shown.note(f"{name} is slow on a CPU; the model {best} takes a fraction of the time.")

    def _answer(self, task: Task) -> Answer:
        runtime = self.session.runtime
        if self.order.shape.takes == "frames":
            task.fields["folder_name"] = stage_frames(task.sources[0], runtime)
        for call in task.setup:
            answer = self.session.carry_out(call, task.request)
            if is_failure(answer):
                return answer
        task.setup.clear()
        return self.session.carry_out(task.fields, task.request)

    def _fail(self, task: Task, answer: Answer) -> None:
        code, sentence = answer["code"], self._named(task, answer["error"])
        if code == _DEFECT:
            sentence = self.log.defect(sentence)
        if code == _CANCELLED:
            sentence, self.is_cut = nothing_kept(self.shown.latest), True
        if self.several:
            sentence = f"{task.sources[0]}: {sentence}"
        self.status = FAILED if self.several else status_of(code)
        self._say_error(sentence, {"error": sentence, "code": code})

    def _deliver(self, task: Task, answer: Answer, began: float) -> None:
        target, made = task.target, self._made(answer)
        assert target is not None  # noqa: S101 - the caller looked
        latest = self.shown.latest
        is_part = self.session.stop.number and latest is not None and latest.total and latest.done < latest.total
        if is_part:
            target = free_name(target.with_name(f"{target.stem}.part{target.suffix}"))
        try:
            deliver(made, target, overwrite=self.order.overwrite and not is_part, refuge=self.refuge)
        except NotDelivered as error:
            self._fail(task, {"error": error.message, "code": error.code})
            return
        facts = _facts(target, answer)
        if is_part and latest is not None:
            self.is_cut = True
            sentence = f"Stopped after {latest.done} of {latest.total} frames; the finished part is in {target}."
            self._say_error(sentence, {"error": sentence, "code": _CANCELLED, **facts})
            return
        answer = {**_without_places(answer), **facts}
        self.answers.append(answer)
        for warning in answer.get("warnings") or ():
            self.shown.note(f"Note: {self._named(task, warning)}")
        if not self.wants_json:
            took = duration(time.monotonic() - began)
            self.shown.note(f"{target}: {_summary(facts)}; took {took}.")

    def _made(self, answer: Answer) -> Path:
        runtime = self.session.runtime
        if self.order.shape.gives == "frames":
            return gather_frames(answer, runtime, runtime.results / "frames")
        return runtime.results / str(answer["output_filename"])

    def _named(self, task: Task, sentence: str) -> str:
        for number, source in enumerate(task.sources):
            sentence = sentence.replace(f"video_urls[{number}]", str(source))
        return sentence

    def _say_error(self, sentence: str, answer: Answer) -> None:
        if self.wants_json:
            self.answers.append(answer)
        else:
            self.shown.note(f"framepack: {sentence}")


def _without_places(answer: Answer) -> Answer:
    """An answer without the places in the store of the run, which are gone."""
    return {name: value for name, value in answer.items() if name not in _PLACES and "contact_sheet" not in name}


def _facts(target: Path, answer: Answer) -> Answer:
    """What the file or the folder is that was written."""
    if target.is_dir():
        return {"output_path": str(target), "frames": answer["frame_count"]}
    info = probe(target)
    return {
        "output_path": str(target),
        "output_file_size": info.size_bytes,
        "frames": info.frame_count,
        "seconds": round(info.duration_seconds, 3),
        "width": info.width,
        "height": info.height,
    }


def _summary(facts: Answer) -> str:
    frames = f"{facts['frames']} frame{'' if facts['frames'] == 1 else 's'}"
    if "width" not in facts:
        return frames
    size = facts["output_file_size"]
    shown = f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} KB"  # noqa: PLR2004 - a tenth of a MB
    return f"{facts['width']} x {facts['height']}, {frames}, {facts['seconds']:g} s, {shown}"
