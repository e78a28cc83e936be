"""What a person sees while weights are fetched: a bar on a terminal, a line elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_INTERVAL_SECONDS: Final = 0.2


class Fetching:
    """Watches the file that is being fetched grow.

    Args:
        console: Where it is shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", visible=False)
        self._part: Path | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar until the end of the ``with`` block; only a terminal has one."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), name="fetching", daemon=True)
        with self._bar:
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()

    def begin(self, name: str, size_bytes: int, part: Path) -> None:
        """Show that a file is being fetched, as ``part`` until it is complete."""
        self._part = part
        self._bar.update(self._task, description=name, total=size_bytes, completed=0, visible=True)
        if not self._console.is_terminal:
            self.say(f"Fetching {name} ({size_bytes / 1e6:.1f} MB) ...")

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._bar.update(self._task, visible=False)
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(_INTERVAL_SECONDS):
            if self._part is not None and self._part.exists():
                self._bar.update(self._task, completed=_size(self._part))


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:  # it has just got its name
        return 0
