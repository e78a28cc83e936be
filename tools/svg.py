"""Drawings as SVG: shapes and text on a background, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

Point = tuple[float, float]

LIGHT: Final = {
    "background": "#ffffff",
    "ink": "#1f2328",
    "muted": "#59636e",
    "grid": "#d1d9e0",
    "0": "#0969da",
    "1": "#bc4c00",
    "2": "#1a7f37",
    "3": "#8250df",
    "4": "#bf3989",
}
"""Colors by their names; numbers are those of series."""

DARK: Final = {
    "background": "#0d1117",
    "ink": "#f0f6fc",
    "muted": "#9198a1",
    "grid": "#3d444d",
    "0": "#4493f8",
    "1": "#db6d28",
    "2": "#3fb950",
    "3": "#ab7df8",
    "4": "#db61a2",
}
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass
class Drawing:
    """An SVG image.

    Attributes:
        width, height: Its size, in the units of all positions.
        title: What it shows, for those who cannot see it.
    """

    width: float
    height: float
    title: str
    _parts: list[str] = field(default_factory=list)

    def text(
        self,
        at: Point,
        words: str,
        *,
        size: float = 12,
        color: str = "ink",
        anchor: str = "start",
        is_bold: bool = False,
    ) -> None:
        """Text whose baseline begins, has its middle or ends (``anchor``) at a point."""
        weight = ' font-weight="600"' if is_bold else ""
        self._parts.append(
            f'<text x="{at[0]:g}" y="{at[1]:g}" font-size="{size:g}" class="f-{color}" '
            f'text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def bar(
        self, at: Point, width: float, height: float, *, color: str, opacity: float = 1, stroke: str = ""
    ) -> None:
        """A rectangle from its upper left corner, with rounded corners; with ``stroke`` it has an edge."""
        edge = f" s-{stroke}" if stroke else ""
        self._parts.append(
            f'<rect x="{at[0]:g}" y="{at[1]:g}" width="{width:g}" height="{height:g}" rx="2" '
            f'class="f-{color}{edge}" fill-opacity="{opacity:g}"/>'
        )

    def line(self, points: Sequence[Point], *, color: str, width: float = 1, is_dashed: bool = False) -> None:
        """A line through points."""
        dashes = ' stroke-dasharray="3 3"' if is_dashed else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" class="s-{color}" stroke-width="{width:g}"{dashes}/>'
        )

    def dot(self, at: Point, *, color: str, radius: float = 2.5) -> None:
        """A filled circle."""
        self._parts.append(f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}" class="f-{color}"/>')

    def svg(self) -> str:
        """The image as text."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" role="img" font-family="{FONT}">'
        )
        style = f"<style>{_classes(LIGHT)} @media (prefers-color-scheme: dark) {{ {_classes(DARK)} }}</style>"
        ground = '<rect width="100%" height="100%" class="f-background"/>'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", style, ground, *self._parts, "</svg>", ""])


def _classes(colors: dict[str, str]) -> str:
    """The rules of a style: for each color one class that fills, and one that draws lines."""
    return " ".join(
        f".f-{name} {{ fill: {color}; }} .s-{name} {{ stroke: {color}; }}" for name, color in colors.items()
    )
