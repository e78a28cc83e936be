"""Run as a program: kills writers of presets at random moments and looks at what they leave, or lets many write.

``python -m tests.support.killed_writers kill FOLDER COUNT SEED`` and ``... crowd SETTINGS_JSON EACH PROCESSES`` print
one JSON object of counts. Writers are forked from this small program, so that starting one costs a millisecond.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from framepack.api.filter_settings import FILTER_PRESETS, FilterSettings
from framepack.errors import BadRequest
from framepack.registry import discover
from framepack.settings import Settings
from framepack.storage.base import Storage
from framepack.storage.local import LocalStorage
from framepack.storage.open import open_storage
from framepack.storage.presets import filter_presets, workflow_presets

LIMIT = 500
STEPS = discover().steps
NAMES = ("Look", "warm", "Night + rain", "über")
STEPS_AT_MOST = 400
MOST_WAITED_FOR = 4
LONGEST_PAUSE_SECONDS = 0.008

Model = dict[str, float]
"""Contrast of every preset there is."""

Step = tuple[str, float | None]
"""A preset and its new contrast; None deletes it."""


def kill_writers(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Kill ``count`` writers one after another; return how many steps they did and what was wrong afterwards.

    What was reported to a writer as done must be there, and at most the one step that it was killed in beyond it.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    model = _stored(folder)
    counts = {"kills": 0, "steps": 0, "wrong": 0, "left": 0, "partial_writes": 0, "left_after": 0}
    for _ in range(count):
        steps = [_step(rng) for _ in range(STEPS_AT_MOST)]
        done = _life(folder, steps, rng.randint(0, MOST_WAITED_FOR), rng.uniform(0, LONGEST_PAUSE_SECONDS))
        certain = _after(model, steps[:done])
        found = _stored(folder)
        counts["wrong"] += found not in (certain, _after(model, steps[: done + 1]))
        counts["kills"] += 1
        counts["steps"] += done
        model = found
    counts["wrong"] += (folder / "state" / "damaged").exists()
    counts["left"] = len(list((folder / ".incoming").iterdir()))
    counts["partial_writes"] = LocalStorage(folder, stale_after_seconds=1e9).remove_partial_writes().files
    LocalStorage(folder, stale_after_seconds=-1)
    counts["left_after"] = len(list((folder / ".incoming").iterdir()))
    return counts


def crowd(settings: dict[str, Any], each: int, processes: int) -> dict[str, int]:
    """Save presets of each kind from several processes at once; return how many of them arrived."""
    import boto3  # noqa: F401 - once for all the children

    chosen = Settings(**settings)
    begin, go = os.pipe()
    shares = [(share, processes) for share in range(processes)]
    children = [_forked(partial(_save_share, chosen, begin, each, share)) for share in shares]
    os.write(go, b"." * processes)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    state = open_storage(chosen)
    looks, flows = filter_presets(state, LIMIT).all(), workflow_presets(state, LIMIT, STEPS).all()
    right = sum(looks[f"Preset {i}"].contrast == i / 1000 for i in range(each) if f"Preset {i}" in looks)
    contrasts = {name: flow.params.model_dump().get("contrast") for name, flow in flows.items()}
    right += sum(contrasts.get(f"Preset {i}") == i / 1000 for i in range(each))
    return {"failed": failed, "right": right, "filters": len(looks), "workflows": len(flows)}


def _save_share(settings: Settings, begin: int, each: int, part: tuple[int, int]) -> None:
    """Save one share of the presets of both kinds, once every process has started."""
    state = open_storage(settings)
    os.read(begin, 1)
    share, parts = part
    for index in range(share, 2 * each, parts):
        number, name = index % each, f"Preset {index % each}"
        if index < each:
            filter_presets(state, LIMIT).save(name, FilterSettings(contrast=number / 1000))
        else:
            preset = STEPS.preset.parse({"active_steps": ["Loop"], "params": {"contrast": number / 1000}})
            workflow_presets(state, LIMIT, STEPS).save(name, preset)


def _life(folder: Path, steps: list[Step], at_least: int, pause_seconds: float) -> int:
    """Let a process do the steps, kill it in the midst of one, and return how many were reported as done.

    Args:
        folder: The store's.
        steps: What to do, more than it will get done.
        at_least: How many steps to wait for.
        pause_seconds: How long to let it go on after that.
    """
    told, tell = os.pipe()

    def write() -> None:
        storage = LocalStorage(folder)
        for step in steps:
            _do(storage, step)
            os.write(tell, b".")
        time.sleep(60)

    child = _forked(write)
    os.close(tell)
    done = 0
    while done < at_least:
        step = os.read(told, 1)
        if not step:
            raise RuntimeError(f"a writer ended by itself after {done} steps")
        done += 1
    time.sleep(pause_seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(told, 1 << 16):
        done += len(chunk)
    os.close(told)
    return done


def _forked(work: Callable[[], None]) -> int:
    """Start a process that does the work; its exit status says whether all went well."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _step(rng: random.Random) -> Step:
    return rng.choice(NAMES), rng.choice([None, *(round(rng.uniform(0, 3), 6) for _ in range(3))])


def _do(storage: Storage, step: Step) -> None:
    name, contrast = step
    presets = filter_presets(storage, LIMIT)
    if contrast is None:
        with suppress(BadRequest):  # a built-in preset that is not replaced stays
            presets.delete(name)
    else:
        presets.save(name, FilterSettings(contrast=contrast))


def _after(model: Model, steps: list[Step]) -> Model:
    changed = dict(model)
    for name, contrast in steps:
        if contrast is not None:
            changed[name] = contrast
        elif name in FILTER_PRESETS:
            changed[name] = FILTER_PRESETS[name].contrast
        else:
            changed.pop(name, None)
    return changed


def _stored(folder: Path) -> Model:
    presets = filter_presets(LocalStorage(folder), LIMIT).all()
    return {name: preset.contrast for name, preset in presets.items() if name in NAMES}


if __name__ == "__main__":
    task, where, *numbers = sys.argv[1:]
    if task == "kill":
        result = kill_writers(Path(where), int(numbers[0]), int(numbers[1]))
    else:
        result = crowd(json.loads(where), int(numbers[0]), int(numbers[1]))
    print(json.dumps(result))  # noqa: T201 - the program's answer
