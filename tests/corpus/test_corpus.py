"""Every property of files x every operation on videos: count, order, rate, length, sync, colors, tags, warnings."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pytest

from framepack.registry import discover
from tests.corpus.operations import OPERATIONS, Operation
from tests.corpus.row import Row
from tests.corpus.table import ROWS
from tests.corpus.worker import Corpus
from tests.support.clips import bars_of
from tests.support.http_server import HttpServer

ONE_IN = 6
"""How many of the cells are tried in the fast suite: one of so many."""
OWN_SOURCES = {"extract_frames", "reassemble_frames", "save_video"}


def is_fast(row: int, operation: int) -> bool:
    """Whether a cell is in the fast suite: some operations of each property, many properties of each operation."""
    return (row + operation) % ONE_IN == 0


def cells() -> Iterator[object]:
    """Every property with every operation."""
    for row_number, row in enumerate(ROWS):
        for number, operation in enumerate(OPERATIONS):
            marks = () if is_fast(row_number, number) else pytest.mark.slow
            yield pytest.param(row, operation, id=f"{row.name}-{operation.name}", marks=marks)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """The files, and a worker."""
    with HttpServer({}) as server:
        yield Corpus.in_folder(tmp_path_factory.mktemp("corpus"), server)


@pytest.mark.parametrize(("row", "operation"), list(cells()))
def test_every_operation_keeps_every_property_or_says_what_it_changes(
    corpus: Corpus, row: Row, operation: Operation
) -> None:
    """What comes out is what the row declares."""
    if operation.name in row.differs:
        pytest.skip(row.differs[operation.name])
    assert corpus.faults(row, operation) == []


def test_the_table_has_every_operation_that_takes_a_video() -> None:
    """A new operation needs a column. A preview makes frames of a pipeline, with which its own tests compare them."""
    taken = {
        each.name for each in discover() if {"video_base64", "video_urls", "videos"} & set(each.request.model_fields)
    }
    assert taken - {"preview"} <= {operation.endpoint for operation in OPERATIONS}


def test_the_fast_suite_covers_all_rows_and_all_operations() -> None:
    """At least one operation for each of at least 60 properties, and ten properties for each operation."""
    fast = [(row, number) for row in range(len(ROWS)) for number in range(len(OPERATIONS)) if is_fast(row, number)]
    assert len(ROWS) >= 60
    assert len({row.name for row in ROWS}) == len(ROWS) == len({row for row, _ in fast})
    assert min(Counter(number for _, number in fast).values()) >= 10


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg command line")
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.refused is None and row.other_reader], ids=lambda row: row.name
)
def test_ffmpeg_shows_the_same_frames(corpus: Corpus, row: Row) -> None:
    """What the rows declare is what an independent reader sees: the same frames in the same order."""
    command = ["ffmpeg", "-v", "error", "-i", f"file:{corpus.file(row)}", "-map", "0:v:0", "-fps_mode", "passthrough"]
    width, height = row.size
    command += ["-vf", f"scale={width}:{height}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    seen = [number for number, _ in groupby(bars_of(frame) for frame in frames)]
    declared = [number for number, _ in groupby(row.shown)]
    assert None in declared or seen == declared
