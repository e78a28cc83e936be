"""``framepack run OPERATION``: from the command line to jobs, and from their answers to files and exit codes."""

from __future__ import annotations

import copy
import difflib
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from framepack.api.filter_settings import FILTER_PRESETS, FilterSettings, built_in_preset
from framepack.cli.fields import checked, field_options, given_fields
from framepack.cli.formats import said, settle
from framepack.cli.inputs import (
    OWN_NAMES,
    PRESET,
    check_source,
    frames_of,
    is_missing,
    preset_of,
    section_of,
    steps_of,
)
from framepack.cli.local import Request
from framepack.cli.shapes import command_name
from framepack.cli.target import check_file, check_new_folder, format_of, make_folder
from framepack.errors import InvalidField, InvalidSource

if TYPE_CHECKING:
    from framepack.api.workflow import StepTypes
    from framepack.cli.shapes import Shape
    from framepack.registry import AnyOperation

_SOURCES: Final = {
    "video": ("IN", "The video; with several, OUT is a folder"),
    "videos": ("IN", "The videos, in order, at least two"),
    "image": ("IN", "The image"),
    "frames": ("IN", "The folder of images"),
    "text": ("TEXT", "The prompt"),
}
_JSON: Final = ".json"


@dataclass(slots=True)
class Task:
    """One job: its fields, and where its result goes.

    Attributes:
        label: What it is called while it runs.
        fields: The job's input.
        request: Files and what else it has beside its fields.
        sources: What it works on, as the person wrote it.
        target: File or folder to write; None for an answer.
        setup: Jobs to run before it, which put presets into the store of the run; shared with the other tasks, of
            which the first runs and removes them.
    """

    label: str
    fields: dict[str, Any]
    request: Request
    sources: Sequence[Path] = ()
    target: Path | None = None
    setup: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Order:
    """A command line, read."""

    operation: AnyOperation
    shape: Shape
    given: Mapping[str, Any]
    steps: StepTypes

    @property
    def sources(self) -> list[str]:
        """What stands for IN."""
        given = self.given.get("sources")
        return [given] if isinstance(given, str) else list(given or ())

    @property
    def output(self) -> Path | None:
        """What stands behind ``-o``."""
        return self.given.get("output")

    @property
    def overwrite(self) -> bool:
        """Whether what is there may be replaced."""
        return bool(self.given.get("overwrite"))

    @property
    def example(self) -> str:
        """A line of this command that works."""
        named = {"frames": "frames/", "videos": "a.mp4 b.mp4"}.get(self.shape.takes, "in.mp4")
        out = "frames/" if self.shape.gives == "frames" else "out.mp4"
        return f"framepack run {command_name(self.operation.name)} {named} -o {out}"


def add_command(
    app: typer.Typer,
    operation: AnyOperation,
    shape: Shape,
    *,
    perform: Callable[[Order], int],
    notes: Mapping[str, str],
    steps: StepTypes,
) -> None:
    """Add the command of an operation, with an option for each of its fields."""
    parameters = list(_parameters(operation, shape, notes))

    def command(**given: Any) -> int:
        return perform(Order(operation, shape, given, steps))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # how typer reads a function
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    app.command(command_name(operation.name), help=operation.summary)(command)


def tasks(order: Order) -> list[Task]:
    """The jobs that a command line asks for, checked as far as that goes without opening a video.

    Raises:
        InvalidField, InvalidSource: something is wrong with the command line.
    """
    shape, fields = order.shape, given_fields(order.operation, order.given)
    preset, setup = _from_files(order, fields)
    sources = _checked_sources(order)
    _check_fields(order, fields, sources)
    targets = _targets(order, sources, said(order.operation.name, fields, preset, order.steps))
    seconds = order.given.get("seconds")
    section = section_of(seconds) if seconds else None
    result = []
    together = [sources] if shape.takes in {"videos", "nothing", "text"} else [[source] for source in sources]
    for number, (paths, target) in enumerate(zip(together, targets, strict=True), start=1):
        own = copy.deepcopy(fields)
        request = Request({f"file-{index}": path for index, path in enumerate(paths)}, section)
        if shape.gives == "video" and target is not None:
            request.format = settle(order.operation.name, own, preset, order.steps, format_of(target))
        _fill(order, own, request)
        name = command_name(order.operation.name)
        label = f"{name} {paths[0].name}" if paths and shape.takes != "videos" else name
        label = f"{number} of {len(targets)}: {label}" if len(targets) > 1 else label
        result.append(Task(label, {"endpoint": order.operation.name, **own}, request, paths, target, setup))
    return result


def _parameters(operation: AnyOperation, shape: Shape, notes: Mapping[str, str]) -> list[inspect.Parameter]:
    options: list[tuple[str, Any, Any]] = []
    if shape.gives != "answer":
        what = "folder to make" if shape.gives == "frames" else "file to write: .mp4, .webm or .gif"
        options += [
            (
                "output",
                Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT", help=f"The {what}.")],
                None,
            ),
            ("overwrite", Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")], False),
        ]
    if shape.takes == "video" and shape.gives != "answer":
        text = "Use a part of the video only: 0:2, 10: or :5, in seconds."
        options.append(("seconds", Annotated[str | None, typer.Option(metavar="FROM:TO", help=text)], None))
    text = "Print the answer, or the error with its code, as JSON."
    options.append(("json", Annotated[bool, typer.Option("--json", help=text)], False))
    options.append(("debug", Annotated[bool, typer.Option("--debug", help="Show the log and tracebacks.")], False))
    kind = inspect.Parameter.KEYWORD_ONLY
    common = [inspect.Parameter(name, kind, default=value, annotation=hint) for name, hint, value in options]
    fields = list(field_options(operation, shape, notes))
    if shape.takes == "nothing":
        return [*fields, *common]
    metavar, text = _SOURCES[shape.takes]
    several: Any = str if shape.takes == "text" else list[str]
    argument = Annotated[several, typer.Argument(metavar=metavar, help=f"{text}.")]
    return [inspect.Parameter("sources", kind, annotation=argument), *fields, *common]


def _from_files(order: Order, fields: dict[str, Any]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Put in place what options name files for; returns the workflow preset, and the jobs that store presets."""
    if "operations" in fields:
        fields["operations"] = steps_of(order.given["operations"])
    if "preset_name" in fields:
        workflow = preset_of(order.steps.preset, order.given["preset_name"])
        fields["preset_name"] = PRESET
        return workflow, [{"endpoint": "save_workflow_preset", "name": PRESET, "preset_data": workflow}]
    look = order.given.get("preset")
    if isinstance(look, str) and look.lower().endswith(_JSON):
        settings = preset_of(FilterSettings, look)
        fields["preset"] = PRESET
        return None, [{"endpoint": "save_filter_preset", "name": PRESET, "settings": settings}]
    if isinstance(look, str) and built_in_preset(look.strip()) is None:
        close = difflib.get_close_matches(look, FILTER_PRESETS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        names = ", ".join(FILTER_PRESETS)
        raise InvalidField(f"--preset must be {names} or the name of a .json file, not {look[:40]!r}{hint}")
    return None, []


def _checked_sources(order: Order) -> list[Path]:
    shape, sources = order.shape, order.sources
    if shape.takes in {"nothing", "text"}:
        return []
    if not all(sources):
        raise InvalidSource("The name of a file is empty.")
    missing = next((each for each in sources if is_missing(each)), None)
    if missing is not None:
        if order.output is None and shape.gives != "answer" and missing == sources[-1] and len(sources) > 1:
            line = shlex.join([command_name(order.operation.name), *sources[:-1], "-o", missing])
            raise InvalidField(f"The result goes behind -o: framepack run {line}")
        raise InvalidSource(f"{missing} does not exist.")
    paths = [Path(each) for each in sources]
    if shape.takes == "frames":
        for path in paths:
            frames_of(path)
    else:
        for path in paths:
            check_source(path)
    return paths


def _check_fields(order: Order, fields: Mapping[str, Any], sources: Sequence[Path]) -> None:
    """Hold the fields against the request, with something in the place of what is filled later."""
    if order.shape.takes == "videos" and len(sources) < 2:  # noqa: PLR2004 - one is joined to another
        raise InvalidField(f"{command_name(order.operation.name)} takes at least two videos: {order.example}")
    own = dict(fields)
    _fill(order, own, Request({f"file-{number}": path for number, path in enumerate(sources[:2])}))
    checked(order.operation, own)


def _fill(order: Order, fields: dict[str, Any], request: Request) -> None:
    """Put the sources into the fields of a job."""
    names = list(request.sources)
    match order.shape.takes:
        case "video":
            fields["video_url"] = names[0]
        case "videos":
            fields["video_urls"] = names
        case "image":
            fields["image_url"] = names[0]
        case "text":
            fields["prompt"] = order.sources[0]
        case "frames":
            fields["folder_name"] = "frames"


def _targets(order: Order, sources: Sequence[Path], format_name: str) -> Sequence[Path | None]:
    """Where the results go, one for each job; looked at before anything is loaded."""
    shape, output = order.shape, order.output
    is_one = len(sources) == 1 or shape.takes == "videos"
    if shape.gives == "answer":
        return [None] * (1 if shape.takes in {"nothing", "text"} else len(sources))
    if output is None:
        raise InvalidField(f"Say where the result goes: {order.example}")
    targets = [output]
    if not is_one:
        ending = "" if shape.gives == "frames" else f".{format_name}"
        targets = [output / f"{source.stem}{ending}" for source in sources]
        twice = next((each for number, each in enumerate(targets) if each in targets[:number]), None)
        if twice is not None:
            raise InvalidField(f"Two results would be called {twice}; run them one by one.")
        make_folder(output)
    for target in targets:
        if shape.gives == "frames":
            check_new_folder(target, overwrite=order.overwrite, ours=OWN_NAMES)
        else:
            check_file(target, sources, overwrite=order.overwrite)
            format_of(target)
    return targets
