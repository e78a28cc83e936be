"""Runs the jobs of a command line, shows their progress, and moves their results to their targets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.answer import is_failure
from framepack.checks.temp import check_temp
from framepack.cli.commands import FileJob, ParsedCommand, file_jobs
from framepack.cli.display import Display, display_for, duration, stderr_console
from framepack.cli.inputs import collect_frames, stage_frames
from framepack.cli.local import FileRuntime
from framepack.cli.output import print_json, print_path
from framepack.cli.session import CommandLog, Session, StopSignal, nothing_kept
from framepack.cli.target import ResultNotMoved, free_name, move_result
from framepack.errors import (
    DiskFull,
    FramepackError,
    InvalidField,
    InvalidSettings,
    InvalidSource,
    StorageFailed,
    UnknownEndpoint,
)
from framepack.files.workspace import Workspace, remove_stale
from framepack.media.read.probe import probe
from framepack.units import MB

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
_STORE_FIELDS: Final = (
    "output_path",
    "output_url",
    "output_filename",
    "output_video_base64",
    "folder_name",
    "frames_path",
)
_SLOW_ARCHITECTURE: Final = "RRDBNet"
_FAST_ARCHITECTURE: Final = "SRVGGNetCompact"


def status_of(code: object) -> int:
    """The exit status for an error of this code."""
    return USAGE if code in _USAGE_CODES else FAILED


def run_command(command: ParsedCommand, settings: Settings) -> int:
    """Run a command line and return its exit status.

    Raises:
        FramepackError: The command line is wrong; nothing was done.
    """
    jobs = file_jobs(command)
    if (finding := check_temp(settings)).state == "error":
        raise StorageFailed(str(finding))
    remove_stale(settings.temp_dir)
    with Workspace(settings.temp_dir) as space:
        stop = StopSignal(space.folder, wants_json=bool(command.given.get("json")))
        display = display_for(stderr_console())
        log = CommandLog(display.note, settings.temp_dir / _LOGS, debug=bool(command.given.get("debug")))
        with stop.installed(), log.captured(), display:
            runtime = FileRuntime(settings, space.folder)
            run = Run(command, Session(runtime, display, stop), log, settings.temp_dir / _KEPT, len(jobs) > 1)
            display.on_loaded = run.warn_of_slow_model
            for file_job in jobs:
                if stop.number:
                    run.was_stopped = True
                    break
                run.run_job(file_job)
    run.print_answers()
    return stop.status if run.was_stopped else run.status


def _naming_disk(sentence: str, folder: Path) -> str:
    """A sentence about the worker's disk, with the folder of this machine that is on it."""
    place = f"working folder {folder} (FRAMEPACK_TEMP_DIR)"
    for words in ("The worker's disk", "The disk"):
        if sentence.startswith(words):
            return f"The disk of the {place}{sentence.removeprefix(words)}"
    return sentence.replace("the worker has", f"the {place} has")


@dataclass(slots=True)
class Run:
    """A command line that is being run.

    Attributes:
        command: The parsed command line.
        session: Runs the jobs.
        log: Captures the log.
        fallback_folder: Folder for results that cannot be moved to their targets.
        several: Whether there is more than one job.
        status: Exit status of the jobs so far.
        was_stopped: Whether a signal has stopped it before all jobs had ended.
        answers: The results so far, for stdout.
        warned_models: Models that the user was warned about, because they are slow.
    """

    command: ParsedCommand
    session: Session
    log: CommandLog
    fallback_folder: Path
    several: bool = False
    status: int = 0
    was_stopped: bool = False
    answers: list[Answer] = field(default_factory=list)
    warned_models: set[str] = field(default_factory=set)

    @property
    def display(self) -> Display:
        """Shows progress and notes."""
        return self.session.display

    @property
    def wants_json(self) -> bool:
        """Whether results and errors are printed as JSON."""
        return bool(self.command.given.get("json"))

    def run_job(self, file_job: FileJob) -> None:
        """Run a job and move its result to the target. An error is printed and does not affect other jobs."""
        began = time.monotonic()
        self.display.begin(file_job.label)
        try:
            answer = self._answer(file_job)
            if is_failure(answer):
                self._fail(file_job, answer)
            elif file_job.target is None:
                self.answers.append(_without_store_paths(answer))
            else:
                self._deliver(file_job, answer, began)
        except FramepackError as error:
            self._fail(file_job, {"error": error.message, "code": error.code})

    def print_answers(self) -> None:
        """Print the results: names of files, or JSON for answers and with ``--json``."""
        if self.wants_json or self.command.usage.gives == "answer":
            if self.answers:
                print_json(self.answers if self.several else self.answers[0])
            return
        for answer in self.answers:
            print_path(answer["output_path"])

    def warn_of_slow_model(self, name: str) -> None:
        """Warn once that a loaded model is slow without a GPU, and name a faster one."""
        models = self.session.runtime.models
        upscalers = {row.name: row for row in models.upscalers()}
        if (
            name in self.warned_models
            or name not in upscalers
            or not upscalers[name].architecture.startswith(_SLOW_ARCHITECTURE)
        ):
            return
        self.warned_models.add(name)
        if not models.device.is_cuda:
            missing = models.missing()
            fast = [row.name for row in upscalers.values() if row.architecture.startswith(_FAST_ARCHITECTURE)]
            best = next((each for each in fast if each not in missing), next(iter(fast), name))
            self.display.note(f"{name} is slow on a CPU; the model {best} takes a fraction of the time.")

    def _answer(self, file_job: FileJob) -> Answer:
        runtime = self.session.runtime
        if self.command.usage.takes == "frames":
            file_job.fields["folder_name"] = stage_frames(file_job.sources[0], runtime)
        for call in file_job.setup:
            answer = self.session.run(call, file_job.request)
            if is_failure(answer):
                return answer
        file_job.setup.clear()
        return self.session.run(file_job.fields, file_job.request)

    def _fail(self, file_job: FileJob, answer: Answer) -> None:
        code, sentence = answer["code"], self._with_file_names(file_job, answer["error"])
        if code == DiskFull.code:
            sentence = _naming_disk(sentence, self.fallback_folder.parent)
        if code == _DEFECT:
            sentence = self.log.defect(sentence)
        if code == _CANCELLED:
            sentence, self.was_stopped = nothing_kept(self.display.latest), True
        if self.several:
            sentence = f"{file_job.sources[0]}: {sentence}"
        self.status = FAILED if self.several else status_of(code)
        self._print_error(sentence, {"error": sentence, "code": code})

    def _deliver(self, file_job: FileJob, answer: Answer, began: float) -> None:
        target, result = file_job.target, self._result_path(answer)
        assert target is not None  # noqa: S101 - checked by the caller
        latest = self.display.latest
        is_part = self.session.stop.number and latest is not None and latest.total and latest.done < latest.total
        if is_part:
            target = free_name(target.with_name(f"{target.stem}.part{target.suffix}"))
        try:
            move_result(
                result, target, overwrite=self.command.overwrite and not is_part, fallback_folder=self.fallback_folder
            )
        except ResultNotMoved as error:
            self._fail(file_job, {"error": error.message, "code": error.code})
            return
        facts = _file_facts(target, answer)
        if is_part and latest is not None:
            self.was_stopped = True
            sentence = f"Stopped after {latest.done} of {latest.total} frames; the finished part is in {target}."
            self._print_error(sentence, {"error": sentence, "code": _CANCELLED, **facts})
            return
        answer = {**_without_store_paths(answer), **facts}
        self.answers.append(answer)
        for warning in answer.get("warnings") or ():
            self.display.note(f"Note: {self._with_file_names(file_job, warning)}")
        if not self.wants_json:
            took = duration(time.monotonic() - began)
            self.display.note(f"{target}: {_summary(facts)}; took {took}.")

    def _result_path(self, answer: Answer) -> Path:
        runtime = self.session.runtime
        if self.command.usage.gives == "frames":
            return collect_frames(answer, runtime, runtime.results / "frames")
        return runtime.results / str(answer["output_filename"])

    def _with_file_names(self, file_job: FileJob, sentence: str) -> str:
        for number, source in enumerate(file_job.sources):
            sentence = sentence.replace(f"video_urls[{number}]", str(source))
        return sentence

    def _print_error(self, sentence: str, answer: Answer) -> None:
        if self.wants_json:
            self.answers.append(answer)
        else:
            self.display.note(f"framepack: {sentence}")


def _without_store_paths(answer: Answer) -> Answer:
    """The answer without paths and URLs of the temporary store."""
    return {
        name: value for name, value in answer.items() if name not in _STORE_FIELDS and "contact_sheet" not in name
    }


def _file_facts(target: Path, answer: Answer) -> Answer:
    """Facts about the file or folder that was written."""
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
    size_text = f"{size / MB:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} KB"  # noqa: PLR2004 - a tenth of a MB
    return f"{facts['width']} x {facts['height']}, {frames}, {facts['seconds']:g} s, {size_text}"
