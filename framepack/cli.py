"""The command line: ``framepack weights list|fetch`` and ``framepack compare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from framepack.errors import FramepackError, ModelUnavailable
from framepack.media.compare import compare
from framepack.models.catalogue import CATALOGUE
from framepack.models.weights import WeightsStore, ensure_all, listing
from framepack.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what went wrong is one line on stderr and the exit status 1."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
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
    fetch.add_argument("models", nargs="*", help="names of models; all by default")
    fetch.set_defaults(run=_fetch_weights)

    drawing = commands.add_parser("compare", help="draw a frame of two videos side by side")
    drawing.add_argument("before", type=Path)
    drawing.add_argument("after", type=Path)
    drawing.add_argument("picture", type=Path, help="PNG file to write")
    drawing.set_defaults(run=_compare)
    return parser


def _list_weights(_chosen: argparse.Namespace) -> None:
    store = WeightsStore.from_settings(Settings())
    for each in listing((*CATALOGUE.rows, *store.custom_models()), store):
        size = f"{each.size_bytes / 1e6:.1f} MB"
        print(f"{each.model:28} {each.filename:34} {size:>9}  {each.where:8} {each.licence}")


def _fetch_weights(chosen: argparse.Namespace) -> None:
    if not ensure_all(CATALOGUE.select(chosen.models), WeightsStore.from_settings(Settings()), print):
        raise ModelUnavailable("Not all weights could be fetched.")


def _compare(chosen: argparse.Namespace) -> None:
    compare(chosen.before, chosen.after, chosen.picture)
    print(chosen.picture)
