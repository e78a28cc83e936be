"""The command line: ``framepack run``, ``serve``, ``weights list|fetch`` and ``compare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from framepack.errors import FramepackError, InvalidSettings, ModelUnavailable
from framepack.media.compare import compare
from framepack.models.provision import WHAT_TO_FETCH, fetch_weights, list_weights
from framepack.run import run
from framepack.settings import INVALID_SETTINGS_STATUS, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what went wrong is one line on stderr and the exit status 1."""
    parser = _parser()
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.run is not _run:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    chosen.options = rest
    try:
        chosen.run(chosen)
    except InvalidSettings as error:
        print(error.message, file=sys.stderr)
        return INVALID_SETTINGS_STATUS
    except FramepackError as error:
        print(f"framepack: {error.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="framepack", description="Finish AI videos.")
    commands = parser.add_subparsers(required=True, metavar="command")

    weights = commands.add_parser("weights", help="the models' weights").add_subparsers(
        required=True, metavar="action"
    )
    weights.add_parser("list", help="what there is and where it lies").set_defaults(run=_list_weights)
    fetch = weights.add_parser("fetch", help="bring weights into FRAMEPACK_WEIGHTS_DIR")
    fetch.add_argument("models", nargs="*", help=WHAT_TO_FETCH)
    fetch.set_defaults(run=_fetch_weights)

    running = commands.add_parser(
        "run",
        help="apply one operation to a video file",
        epilog="Options are the operation's fields, such as --scale-factor 2.",
    )
    running.add_argument("operation", help="name of the operation, such as upscale")
    running.add_argument("source", type=Path, help="the video")
    running.add_argument("target", type=Path, help="file to write")
    running.set_defaults(run=_run)

    serving = commands.add_parser("serve", help="serve the REST API")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serving.add_argument("--port", type=int, default=8000, help="port to listen on")
    serving.set_defaults(run=_serve)

    drawing = commands.add_parser("compare", help="draw a frame of two videos side by side")
    drawing.add_argument("before", type=Path)
    drawing.add_argument("after", type=Path)
    drawing.add_argument("picture", type=Path, help="PNG file to write")
    drawing.set_defaults(run=_compare)
    return parser


def _list_weights(_chosen: argparse.Namespace) -> None:
    for each in list_weights(load_settings()):
        size = f"{each.size_bytes / 1e6:.1f} MB"
        print(f"{each.model:36} {each.filename:34} {size:>9}  {each.where:8} {each.licence}")


def _fetch_weights(chosen: argparse.Namespace) -> None:
    if not fetch_weights(chosen.models, load_settings(), print):
        raise ModelUnavailable("Not all weights could be fetched.")


def _run(chosen: argparse.Namespace) -> None:
    for warning in run(load_settings(), chosen.operation, chosen.source, chosen.target, chosen.options):
        print(warning, file=sys.stderr)
    print(chosen.target)


def _serve(chosen: argparse.Namespace) -> None:
    from framepack.rest.serve import serve  # only this command needs FastAPI

    serve(load_settings(), chosen.host, chosen.port)


def _compare(chosen: argparse.Namespace) -> None:
    compare(chosen.before, chosen.after, chosen.picture)
    print(chosen.picture)
