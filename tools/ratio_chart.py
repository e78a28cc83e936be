"""The chart of ratios in the README, made from the table "Side by side" of ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from tools.svg import Drawing

_HEADING: Final = "## Side by side"
_COLUMNS: Final = ("what", "beside", "ratio", "in CPU", "ours", "other", "machine", "command")
_RANGE: Final = re.compile(r"(\d+(?:\.\d+)?)(?: to (\d+(?:\.\d+)?))?")
_MACHINES: Final = ("quiet", "busy")

_WIDTH, _MARGIN, _BAR_LEFT = 400, 10, 12
_TOP, _GROUP_HEIGHT, _ROW_HEIGHT, _BAR_HEIGHT, _BOTTOM = 66, 32, 36, 12, 34


@dataclass(frozen=True)
class Ratio:
    """One row: how many times as fast ours is.

    Attributes:
        what: The work.
        beside: What did it on the other side.
        low, high: The ratio on the clock; equal unless it is a range.
        cpu: The ratio in seconds of the CPU, as it is written.
        is_busy: Whether the machine had other work.
    """

    what: str
    beside: str
    low: float
    high: float
    cpu: str
    is_busy: bool

    @property
    def value(self) -> str:
        """The ratio, as it is written."""
        return f"{self.low:.2f}" if self.low == self.high else f"{self.low:.2f} to {self.high:.2f}"


def ratios(results: str) -> Iterator[Ratio]:
    """The rows of the table in a page of results.

    Raises:
        ValueError: There is no such table, or a row of it cannot be read; the message says which.
    """
    _, found, rest = results.partition(f"{_HEADING}\n")
    table = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    if not found or _cells(table[0]) != _COLUMNS:
        raise ValueError(f"there is no table with the columns {', '.join(_COLUMNS)} below {_HEADING}")
    for line in table[2:]:
        cells = dict(zip(_COLUMNS, _cells(line), strict=True))
        ratio, cpu = (_RANGE.fullmatch(cells[name]) for name in ("ratio", "in CPU"))
        if ratio is None or cpu is None or cells["machine"] not in _MACHINES:
            raise ValueError(f"a row of {_HEADING} cannot be read: {line}")
        low = float(ratio[1])
        high = float(ratio[2] or low)
        yield Ratio(cells["what"], cells["beside"].replace("`", ""), low, high, cpu[0], cells["machine"] == "busy")


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip("|").split("|"))


def ratio_chart(results: str) -> str:
    """The chart as SVG: one bar for each row, in groups of what is on the other side."""
    groups = [(name, list(rows)) for name, rows in groupby(ratios(results), key=lambda row: row.beside)]
    count = sum(len(rows) for _, rows in groups)
    height = _TOP + len(groups) * _GROUP_HEIGHT + count * _ROW_HEIGHT + _BOTTOM
    drawing = Drawing(_WIDTH, height, "How many times as fast as other software")
    drawing.text((_MARGIN, 20), "How many times as fast, on two CPU cores", size=15, is_bold=True)
    drawing.text((_MARGIN, 38), "Right of the line ours is faster, left of it slower.", color="muted", size=12.5)
    drawing.text((_MARGIN, 54), "In brackets: the same in seconds of the CPU.", color="muted", size=12.5)
    scale = (_WIDTH - _BAR_LEFT - _MARGIN) / max(row.high for _, rows in groups for row in rows)
    y = float(_TOP)
    for name, rows in groups:
        drawing.text((_MARGIN, y + 20), name, size=13.5, is_bold=True)
        y += _GROUP_HEIGHT
        for row in rows:
            _draw(drawing, row, y, scale)
            y += _ROW_HEIGHT
    y += 16
    drawing.bar((_MARGIN, y - 9), 14, 10, color="0", opacity=0.25, stroke="0")
    drawing.text((_MARGIN + 20, y), "taken while the machine had other work", color="muted", size=12.5)
    return drawing.svg()


def _draw(drawing: Drawing, row: Ratio, y: float, scale: float) -> None:
    """One row: the work above its bar, and the figures behind the work."""
    color = "0" if row.low >= 1 else "1"
    drawing.text((_MARGIN, y + 10), row.what, size=12.5)
    drawing.text((_WIDTH - _MARGIN, y + 10), f"{row.value} ({row.cpu})", size=12.5, anchor="end")
    opacity = 0.25 if row.is_busy else 1.0
    stroke = color if row.is_busy else ""
    drawing.bar((_BAR_LEFT, y + 15), row.low * scale, _BAR_HEIGHT, color=color, opacity=opacity, stroke=stroke)
    equal = _BAR_LEFT + scale
    drawing.line([(equal, y + 14), (equal, y + 16 + _BAR_HEIGHT)], color="ink", width=1.5)
    if row.high > row.low:
        left = _BAR_LEFT + row.low * scale
        drawing.bar((left, y + 15), (row.high - row.low) * scale, _BAR_HEIGHT, color=color, opacity=0.4)
