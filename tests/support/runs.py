"""Runs operations the way a worker does: one runtime, real settings, real files."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framepack.answer import Answer
from framepack.job import Job, JobInput
from framepack.registry import Registry
from framepack.runtime import Runtime
from framepack.settings import Settings


@dataclass(frozen=True)
class Bench:
    """A runtime whose store, working files and weights lie in a folder of the test's."""

    runtime: Runtime
    folder: Path

    def run(self, endpoint: str, source: Path | None = None, *, job: Job | None = None, **fields: Any) -> Answer:
        """Run one operation, on the video ``source`` if there is one."""
        if source is not None:
            fields["video_base64"] = base64.b64encode(source.read_bytes()).decode()
        return self.runtime.run(JobInput({"endpoint": endpoint, **fields}), job or Job("test"))

    def output(self, answer: Answer) -> Path:
        """The file that an answer names."""
        assert "error" not in answer, answer
        path = self.runtime.location(answer)
        assert path is not None
        return path

    def leftovers(self) -> list[str]:
        """Working files that are still there."""
        return [str(path) for path in (self.folder / "temp").rglob("*") if path.is_file()]


def bench(folder: Path, **settings: Any) -> Bench:
    """A bench in ``folder``; nothing is downloaded."""
    return bench_of(None, folder, **settings)


def bench_of(registry: Registry | None, folder: Path, **settings: Any) -> Bench:
    """A bench with the operations and effects of a registry; None: with all that are declared."""
    chosen = {
        "storage": f"file:{folder / 'outputs'}",
        "temp_dir": folder / "temp",
        "weights_dir": folder / "weights",
        "weights_download": False,
        **settings,
    }
    return Bench(Runtime(Settings(**chosen), registry), folder)
