"""``framepack run OPERATION``: the commands, and the jobs of a command line."""

from __future__ import annotations

import copy
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from framepack.api.filter_settings import FILTER_PRESETS, FilterSettings, built_in_preset
from framepack.cli.inputs import (
    EXTRACTION_FILES,
    PRESET,
    check_source,
    is_missing,
    list_frames,
    parse_section,
    read_preset,
    read_steps,
)
from framepack.cli.local import LocalRequest
from framepack.cli.options import check_fields, command_name, field_options, parse_fields
from framepack.cli.target import check_file, check_new_folder, format_of, make_folder, requested_format, set_format
from framepack.errors import InvalidField, InvalidSource
from framepack.spelling import did_you_mean

if TYPE_CHECKING:
    from framepack.api.workflow import StepTypes
    from framepack.cli.options import FileUsage
    from framepack.processing.operation import AnyOperation

_SOURCES: Final = {
    "video": ("IN", "The video; for several videos, OUT is a folder"),
    "videos": ("IN", "The videos, in order, at least two"),
    "image": ("IN", "The image"),
    "frames": ("IN", "The folder of images"),
    "text": ("TEXT", "The prompt"),
}
_FORMAT: Final = "format"
_JSON: Final = ".json"


@dataclass(slots=True)
class FileJob:
    """A job on files.

    Attributes:
        label: Name of the job in the display.
        fields: The job's input.
        request: Its files, and options that are not fields.
        sources: The source files, as given.
        target: File or folder to write; None for an answer.
        setup: Jobs to run first, which save presets to the temporary store. All jobs of a command line share this
            list; the first one runs and empties it.
    """

    label: str
    fields: dict[str, Any]
    request: LocalRequest
    sources: Sequence[Path] = ()
    target: Path | None = None
    setup: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """A parsed command line."""

    operation: AnyOperation
    usage: FileUsage
    given: Mapping[str, Any]
    steps: StepTypes

    @property
    def sources(self) -> list[str]:
        """The values of IN."""
        given = self.given.get("sources")
        return [given] if isinstance(given, str) else list(given or ())

    @property
    def output(self) -> Path | None:
        """The value of ``-o``."""
        return self.given.get("output")

    @property
    def overwrite(self) -> bool:
        """Whether existing files may be replaced."""
        return bool(self.given.get("overwrite"))

    @property
    def example(self) -> str:
        """A valid example of this command."""
        named = {"frames": "frames/", "videos": "a.mp4 b.mp4"}.get(self.usage.takes, "in.mp4")
        out = "frames/" if self.usage.gives == "frames" else "out.mp4"
        return f"framepack run {command_name(self.operation.name)} {named} -o {out}"


def add_command(
    app: typer.Typer,
    operation: AnyOperation,
    usage: FileUsage,
    *,
    run_command: Callable[[ParsedCommand], int],
    notes: Mapping[str, str],
    steps: StepTypes,
) -> None:
    """Add the command of an operation, with an option for each field."""
    parameters = list(_parameters(operation, usage, notes))

    def command(**given: Any) -> int:
        return run_command(ParsedCommand(operation, usage, given, steps))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # how typer reads a function
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    app.command(command_name(operation.name), help=operation.summary)(command)


def file_jobs(command: ParsedCommand) -> list[FileJob]:
    """The jobs of a command line, checked as far as possible without opening a video.

    Raises:
        InvalidField, InvalidSource: The command line is invalid.
    """
    usage, fields = command.usage, parse_fields(command.operation, command.given)
    preset, setup = _from_files(command, fields)
    sources = _check_sources(command)
    _check_required(command, fields, sources)
    targets = _targets(command, sources, requested_format(command.operation.name, fields, preset, command.steps))
    seconds = command.given.get("seconds")
    section = parse_section(seconds) if seconds else None
    result = []
    groups = [sources] if usage.takes in {"videos", "nothing", "text"} else [[source] for source in sources]
    for number, (paths, target) in enumerate(zip(groups, targets, strict=True), start=1):
        own = copy.deepcopy(fields)
        request = LocalRequest({f"file-{index}": path for index, path in enumerate(paths)}, section)
        if usage.gives == "video" and target is not None:
            request.format = set_format(command.operation.name, own, preset, command.steps, format_of(target))
        _fill(command, own, request)
        name = command_name(command.operation.name)
        label = f"{name} {paths[0].name}" if paths and usage.takes != "videos" else name
        label = f"{number} of {len(targets)}: {label}" if len(targets) > 1 else label
        result.append(FileJob(label, {"endpoint": command.operation.name, **own}, request, paths, target, setup))
    return result


def _parameters(operation: AnyOperation, usage: FileUsage, notes: Mapping[str, str]) -> list[inspect.Parameter]:
    options: list[tuple[str, Any, Any]] = []
    if usage.gives != "answer":
        what = "folder to make" if usage.gives == "frames" else "file to write: .mp4, .webm or .gif"
        options += [
            (
                "output",
                Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT", help=f"The {what}.")],
                None,
            ),
            ("overwrite", Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")], False),
        ]
    if usage.takes == "video" and usage.gives != "answer":
        text = "Use only a section of the video, in seconds: 0:2, 10: or :5."
        options.append(("seconds", Annotated[str | None, typer.Option(metavar="FROM:TO", help=text)], None))
    text = "Print the answer or error as JSON."
    options.append(("json", Annotated[bool, typer.Option("--json", help=text)], False))
    options.append(("debug", Annotated[bool, typer.Option("--debug", help="Show the log and tracebacks.")], False))
    kind = inspect.Parameter.KEYWORD_ONLY
    common = [inspect.Parameter(name, kind, default=value, annotation=hint) for name, hint, value in options]
    fields = list(field_options(operation, usage, notes))
    if usage.takes == "nothing":
        return [*fields, *common]
    metavar, text = _SOURCES[usage.takes]
    several: Any = str if usage.takes == "text" else list[str]
    argument = Annotated[several, typer.Argument(metavar=metavar, help=f"{text}.")]
    return [inspect.Parameter("sources", kind, annotation=argument), *fields, *common]


def _from_files(command: ParsedCommand, fields: dict[str, Any]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Replace the names of files by their content. Returns the workflow preset, and the jobs that save presets."""
    if "operations" in fields:
        fields["operations"] = read_steps(command.given["operations"])
    if "preset_name" in fields:
        workflow = read_preset(command.steps.preset, command.given["preset_name"])
        fields["preset_name"] = PRESET
        return workflow, [{"endpoint": "save_workflow_preset", "name": PRESET, "preset_data": workflow}]
    look = command.given.get("preset")
    if isinstance(look, str) and look.lower().endswith(_JSON):
        settings = read_preset(FilterSettings, look)
        fields["preset"] = PRESET
        return None, [{"endpoint": "save_filter_preset", "name": PRESET, "settings": settings}]
    if isinstance(look, str) and built_in_preset(look.strip()) is None:
        hint, names = did_you_mean(look, FILTER_PRESETS.keys()), ", ".join(FILTER_PRESETS)
        raise InvalidField(f"--preset must be {names} or the name of a .json file, not {look[:40]!r}{hint}")
    return None, []


def _check_sources(command: ParsedCommand) -> list[Path]:
    usage, sources = command.usage, command.sources
    if usage.takes in {"nothing", "text"}:
        return []
    if not all(sources):
        raise InvalidSource("The name of a file is empty.")
    missing = next((each for each in sources if is_missing(each)), None)
    if missing is not None:
        if command.output is None and usage.gives != "answer" and missing == sources[-1] and len(sources) > 1:
            line = shlex.join([command_name(command.operation.name), *sources[:-1], "-o", missing])
            raise InvalidField(f"Give the result with -o: framepack run {line}")
        raise InvalidSource(f"{missing} does not exist.")
    paths = [Path(each) for each in sources]
    if usage.takes == "frames":
        for path in paths:
            list_frames(path)
    else:
        for path in paths:
            check_source(path)
    return paths


def _check_required(command: ParsedCommand, fields: Mapping[str, Any], sources: Sequence[Path]) -> None:
    """Validate the fields, with placeholders for those that are set later."""
    if command.usage.takes == "videos" and len(sources) < 2:  # noqa: PLR2004 - the minimum for joining
        raise InvalidField(f"{command_name(command.operation.name)} takes at least two videos: {command.example}")
    own = dict(fields)
    if command.output is not None and _FORMAT in command.operation.request.model_fields:
        with suppress(InvalidField):  # the name of the result is checked later
            own.setdefault(_FORMAT, format_of(command.output))
    _fill(command, own, LocalRequest({f"file-{number}": path for number, path in enumerate(sources[:2])}))
    check_fields(command.operation, own)


def _fill(command: ParsedCommand, fields: dict[str, Any], request: LocalRequest) -> None:
    """Set the fields for the sources."""
    names = list(request.sources)
    match command.usage.takes:
        case "video":
            fields["video_url"] = names[0]
        case "videos":
            fields["video_urls"] = names
        case "image":
            fields["image_url"] = names[0]
        case "text":
            fields["prompt"] = command.sources[0]
        case "frames":
            fields["folder_name"] = "frames"


def _targets(command: ParsedCommand, sources: Sequence[Path], format_name: str) -> Sequence[Path | None]:
    """The target of each job, checked before anything is loaded."""
    usage, output = command.usage, command.output
    is_one = len(sources) == 1 or usage.takes == "videos"
    if usage.gives == "answer":
        return [None] * (1 if usage.takes in {"nothing", "text"} else len(sources))
    if output is None:
        raise InvalidField(f"Give the result with -o: {command.example}")
    targets = [output]
    if not is_one:
        ending = "" if usage.gives == "frames" else f".{format_name}"
        targets = [output / f"{source.stem}{ending}" for source in sources]
        twice = next((each for number, each in enumerate(targets) if each in targets[:number]), None)
        if twice is not None:
            raise InvalidField(f"Two results would have the name {twice}; run them one by one.")
        make_folder(output)
    for target in targets:
        if usage.gives == "frames":
            check_new_folder(target, overwrite=command.overwrite, known_names=EXTRACTION_FILES)
        else:
            check_file(target, sources, overwrite=command.overwrite)
            format_of(target)
    return targets
