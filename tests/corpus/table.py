"""The whole corpus: every row, in the order of the documentation."""

from __future__ import annotations

from tests.corpus import animations, audio_and_rest, coded, containers, frames, headers, marks, midway, timing
from tests.corpus.row import Row

_ALL = [
    row
    for module in (containers, timing, animations, frames, audio_and_rest, coded, headers, marks, midway)
    for row in module.ROWS
]
_KINDS = list(dict.fromkeys(row.kind for row in _ALL))
ROWS: tuple[Row, ...] = tuple(sorted(_ALL, key=lambda row: _KINDS.index(row.kind)))
