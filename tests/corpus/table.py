"""The whole corpus: every row, in the order of the documentation."""

from __future__ import annotations

from tests.corpus import audio_and_rest, containers, frames, timing
from tests.corpus.row import Row

ROWS: tuple[Row, ...] = containers.ROWS + timing.ROWS + frames.ROWS + audio_and_rest.ROWS
