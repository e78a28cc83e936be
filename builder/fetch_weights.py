"""Fetches the published weights into a folder, for the image build. It uses the standard library only.

``python builder/fetch_weights.py default --to /models`` reads ``weights.json`` beside it, which ``make docs`` writes
from the catalog of models. A file is taken from a given folder, a cache, its official URL or a mirror, and is used
only if it has the published SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

TABLE: Final = Path(__file__).with_name("weights.json")
_SECONDS: Final = 60.0
_PAUSES_SECONDS: Final = (0.0, 3.0)
_PASSING: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_PIECE_BYTES: Final = 1 << 20
_ON_REQUEST: Final = ("GFPGANv1.4",)  # parts of it are for non-commercial use only, so it must be asked for

SETS: Final[dict[str, Callable[[str, str], bool]]] = {
    "none": lambda _model, _group: False,
    "upscalers": lambda _model, group: group == "upscaler",
    "default": lambda model, _group: model not in _ON_REQUEST,
    "all": lambda _model, _group: True,
}
"""The sets that ``WEIGHTS`` may name besides models: whether one contains the model of a name and a group."""


@dataclass(frozen=True)
class File:
    """A published file of a model, with its URLs, size and hash."""

    filename: str
    model: str
    group: str
    urls: tuple[str, ...]
    size_bytes: int
    sha256: str


class Unavailable(Exception):
    """A file could not be fetched. The message says why."""


def read_table(path: Path = TABLE) -> list[File]:
    """The files of the catalog of models."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        File(row["filename"], row["model"], row["group"], tuple(row["urls"]), int(row["size_bytes"]), row["sha256"])
        for row in rows
    ]


def choose(files: Sequence[File], wanted: str) -> list[File]:
    """The files of the sets and models in ``wanted``, which are separated by commas or spaces.

    Raises:
        ValueError: there is no such set or model.
    """
    names = wanted.replace(",", " ").split()
    unknown = {*names} - {*SETS} - {file.model for file in files}
    if unknown:
        known = ", ".join([*SETS, *dict.fromkeys(file.model for file in files)])
        raise ValueError(f"WEIGHTS names {min(unknown)}; it may name {known}.")
    return [
        file
        for file in files
        if any(name == file.model or (name in SETS and SETS[name](file.model, file.group)) for name in names)
    ]


def provide(file: File, to: Path, given: Path | None, cache: Path | None) -> str:
    """Put a file into the folder ``to`` and return where it came from.

    Args:
        file: the file.
        to: an existing folder.
        given: a folder that may contain the file.
        cache: a folder that keeps fetched files under their SHA-256.

    Raises:
        Unavailable: the file in ``given`` is not the published one, or no URL has it.
    """
    target = to / file.filename
    if given is not None and (given / file.filename).is_file():
        if _sha256(given / file.filename) != file.sha256:
            raise Unavailable("the file of that name in WEIGHTS_FROM is not the published one")
        shutil.copyfile(given / file.filename, target)
        return "taken from WEIGHTS_FROM"
    kept = cache / file.sha256 if cache is not None else None
    if kept is not None and kept.is_file() and _sha256(kept) == file.sha256:
        shutil.copyfile(kept, target)
        return "kept from an earlier build"
    host = _fetch(file, target)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, kept)
    return f"fetched from {host}"


def _fetch(file: File, target: Path) -> str:
    """Fetch the published file from the first URL that has it; return the host.

    All URLs are tried in order. Those with a temporary error are tried once more after a pause.
    """
    part = target.with_name(f".{target.name}.part")
    problems: dict[str, str] = {}
    hopeful = list(file.urls)
    try:
        for pause in _PAUSES_SECONDS:
            time.sleep(pause if hopeful else 0)
            for url in list(hopeful):
                problem, may_pass = _attempt(url, part, file)
                if problem is None:
                    part.replace(target)
                    return urlsplit(url).netloc
                problems[urlsplit(url).netloc] = problem
                if not may_pass:
                    hopeful.remove(url)
    finally:
        part.unlink(missing_ok=True)
    raise Unavailable("; ".join(f"{host}: {problem}" for host, problem in problems.items()))


def _attempt(url: str, part: Path, file: File) -> tuple[str | None, bool]:
    """Try one URL once; return what went wrong, or None, and whether the error is temporary."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer, part.open("wb") as output:  # noqa: S310 - the URLs are those of the table
            digest = _copy(answer, output, file.size_bytes)
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}", error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in _PASSING
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", None) or error or type(error).__name__), True
    return (None, False) if digest == file.sha256 else ("not the published file", False)


def _copy(source: Any, output: Any, size_bytes: int) -> str:
    """Copy a file, but at most one piece more than ``size_bytes``; return the SHA-256."""
    digest, done = hashlib.sha256(), 0
    while done <= size_bytes and (piece := source.read(_PIECE_BYTES)):
        digest.update(piece)
        output.write(piece)
        done += len(piece)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 if all files are there, 1 if one could not be fetched, 2 for an unknown name."""
    parser = argparse.ArgumentParser(description="Fetch model weights and check their SHA-256.")
    parser.add_argument("wanted", help=f"{', '.join(SETS)}, or names of models, separated by commas")
    parser.add_argument("--to", type=Path, required=True, help="folder for the files")
    parser.add_argument("--given", type=Path, help="folder that may contain files already")
    parser.add_argument("--cache", type=Path, help="folder that keeps fetched files for the next build")
    parser.add_argument("--table", type=Path, default=TABLE, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        files = choose(read_table(options.table), options.wanted)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    options.to.mkdir(parents=True, exist_ok=True)
    missing: list[str] = []
    for number, file in enumerate(files, start=1):
        try:
            outcome = provide(file, options.to, options.given, options.cache)
        except Unavailable as problem:
            outcome = f"failed: {problem}"
            missing.append(file.filename)
        print(f"[{number}/{len(files)}] {file.filename} ({file.size_bytes / 1e6:.1f} MB): {outcome}", flush=True)
    if missing:
        print(
            f"Missing: {', '.join(missing)}. Put such a file into the folder weights/ and build with "
            "WEIGHTS_FROM=weights, or leave its model out of WEIGHTS.",
            file=sys.stderr,
        )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
