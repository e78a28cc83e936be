"""The whole corpus: every row, in the order of the documentation."""

from __future__ import annotations

from tests.corpus import containers, pictures, sound_and_rest, timing
from tests.corpus.row import Row

ROWS: tuple[Row, ...] = containers.ROWS + timing.ROWS + pictures.ROWS + sound_and_rest.ROWS
