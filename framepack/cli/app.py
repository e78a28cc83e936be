"""The commands of ``framepack``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from framepack.cli.callbacks import add_callback_commands
from framepack.cli.commands import ParsedCommand, add_command
from framepack.cli.execute import FAILED, run_command
from framepack.cli.options import command_name, file_operations
from framepack.cli.output import print_json, print_path
from framepack.cli.target import check_file
from framepack.errors import InvalidField, InvalidSource, ModelUnavailable
from framepack.logs import start_logging
from framepack.models.weights.provision import WHAT_TO_FETCH, fetch_weights, list_weights
from framepack.settings import Settings, load_settings
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

RUN: Final = "run"

_Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")]
_Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")]
_STATES: Final = {"folder": "here", "cache": "in a cache", "wheel": "in a package", "wrong": "damaged"}


def build_app(registry: Registry) -> typer.Typer:
    """The command line. Every operation that can be used on files is a command of ``run``."""
    app = _group("Post-process AI videos: upscale, interpolate, filter, loop, join and export them.")
    app.callback()(_root)
    running = _group("Apply an operation to files. `framepack run OPERATION --help` lists its fields.")
    for operation, usage in file_operations(registry):
        add_command(running, operation, usage, run_command=_run, notes=_notes(operation), steps=registry.steps)
    app.add_typer(running, name=RUN)
    app.command("operations", help="List the operations of `run`.")(_operations(registry))
    weights = _group("List and fetch the weights of models.")
    weights.command("list", help="List all files with size, location and license.")(_list_weights)
    weights.command("fetch", help="Fetch weights into FRAMEPACK_WEIGHTS_DIR.")(_fetch_weights)
    app.add_typer(weights, name="weights")
    callbacks = _group("List callbacks of jobs, and deliver them where no server or worker does.")
    add_callback_commands(callbacks, load_settings_with_log)
    app.add_typer(callbacks, name="callbacks")
    app.command("compare", help="Draw a frame of two videos side by side, as a whole and in detail.")(_compare)
    app.command("doctor", help="Check settings, device, codecs, store, disk and weights.")(_doctor)
    app.command("serve", help="Serve the REST API and the studio page.")(_serve)
    app.command("studio", help="Serve, and open the studio page in the browser.")(_studio)
    return app


def load_settings_with_log() -> Settings:
    """Load the settings and start the log, which begins with a warning for each unknown variable."""
    settings = load_settings()
    start_logging(settings, is_command=True)
    return settings


def _group(text: str) -> typer.Typer:
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _root(*, version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    del version  # `main` handles it


def _run(order: ParsedCommand) -> int:
    return run_command(order, load_settings_with_log())


def _notes(operation: AnyOperation) -> Mapping[str, str]:
    """Additions to the descriptions of fields: values that the request's model does not list."""
    from framepack.models.weights.catalog import CATALOG

    names = ", ".join(row.name for row in CATALOG.group("upscaler"))
    return {
        "upscale": {"model": f"{names}, or a custom model"},
        "export": {"format": "if OUT does not say it"},
        "filters": {"preset": "or a JSON file with such settings"},
    }.get(operation.name, {})


def _operations(registry: Registry) -> Callable[[], None]:
    def show() -> None:
        names = {command_name(operation.name): operation.summary for operation, _ in file_operations(registry)}
        width = max(map(len, names))
        for name, summary in names.items():
            print(f"{name:{width}}  {summary}")

    return show


def _list_weights(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False
) -> None:
    files = list_weights(load_settings_with_log())
    if as_json:
        rows = [{name: getattr(each, name) for name in type(each).__dataclass_fields__} for each in files]
        print_json(rows)
        return
    print(f"{'MODEL':36} {'FILE':34} {'SIZE':>10}  {'WHERE':12} LICENSE")
    for each in files:
        size = f"{each.size_bytes / MB:.1f} MB"
        print(
            f"{each.model:36} {each.filename:34} {size:>10}  {_STATES.get(each.where, each.where):12} {each.license}"
        )
    missing = [each.size_bytes for each in files if each.where in {"missing", "wrong"}]
    fetch = (
        f", {len(missing)} of them to fetch ({sum(missing) / MB:.1f} MB): framepack weights fetch MODEL"
        if missing
        else ""
    )
    print(f"{len(files)} files of {sum(each.size_bytes for each in files) / MB:.1f} MB{fetch}")


def _fetch_weights(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help=f"{WHAT_TO_FETCH.capitalize()}.")
    ] = None,
) -> None:
    from rich.console import Console

    from framepack.cli.display import DownloadDisplay

    fetching = DownloadDisplay(Console())
    with fetching.active():
        complete = fetch_weights(models or [], load_settings_with_log(), fetching.say, fetching.begin)
    if not complete:
        raise ModelUnavailable("Not all weights could be fetched.")


def _compare(
    before: Annotated[Path, typer.Argument(help="The first video.")],
    after: Annotated[Path, typer.Argument(help="The second video.")],
    image: Annotated[Path, typer.Argument(help="PNG file to write. An existing file is replaced.")],
    *,
    second: Annotated[
        float, typer.Option("--second", min=0, help="Which moment to draw; after the end, it is the last frame.")
    ] = 0.5,
) -> None:
    from framepack.media.images.compare import compare

    missing = next((path for path in (before, after) if not path.is_file()), None)
    if missing is not None:
        raise InvalidSource(f"{missing} is not a file.")
    if image.suffix.lower() != ".png":
        raise InvalidField(f"{image}: the name of the image must end in .png.")
    check_file(image, [before, after], overwrite=True)
    compare(before, after, image, second=second)
    print_path(image)


def _doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> int:
    from framepack.doctor import examine

    settings = load_settings()
    start_logging(settings, is_command=True, is_first=False)  # unknown variables are among the findings
    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            print(f"{finding.state:7}  {finding.name}: {finding.sentence}{remedy}", flush=True)
    if as_json:
        names = ("name", "state", "sentence", "remedy")
        print_json([{name: getattr(each, name) for name in names} for each in findings])
    return FAILED if any(each.state == "error" for each in findings) else 0


def _serve(*, host: _Host = "127.0.0.1", port: _Port = 8000) -> None:
    from framepack.rest.serve import serve  # only these commands need FastAPI

    serve(load_settings(), host, port)


def _studio(*, host: _Host = "127.0.0.1", port: _Port = 8000) -> None:
    from framepack.rest.serve import serve

    serve(load_settings(), host, port, opens_browser=True)
