"""Kills with `kill -9` at named points of a job, on REST servers and RunPod workers: nothing is lost or doubled."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from tests.support.kill_points import DELIVERY, SERVER, WORKER
from tests.support.kill_runs import Counts, leftovers, plain_run, processes_of, rest_run
from tests.support.rest_server import eventually

# A message whose sender died between the answer of the receiver and the record of it is sent again.
SENT_TWICE = {"after an attempt to deliver"}

REST = {
    "workers": [(point, False) for point in WORKER],
    "servers": [(point, True) for point in (*WORKER, *SERVER)],
}
PLAIN = [*WORKER, *DELIVERY]


def run_rest(folder: Path, kills: list[tuple[str, bool]]) -> Counts:
    """Kill the worker, or the server with its worker, once at each point; every other job wants no callback."""
    with rest_run(folder) as run:
        for number, (point, server) in enumerate(kills):
            run.kill_at(point, server=server, callback=number % 2 == 0)
        counts = run.finish()
        outputs, temp = run.server.outputs, folder / "temp"
        assert eventually(lambda: not leftovers(outputs, temp)), leftovers(outputs, temp)
        family = {run.server.pid, *(child.pid for child in psutil.Process(run.server.pid).children(recursive=True))}
        running = processes_of(folder)
        assert {process.pid for process in running} <= family, running
        assert psutil.STATUS_ZOMBIE not in {process.status() for process in running}
        check(counts, run.jobs)
    assert eventually(lambda: not processes_of(folder))
    return counts


def run_plain(folder: Path, kills: list[str]) -> Counts:
    """Kill the worker once at each point; every other job wants no callback."""
    with plain_run(folder) as run:
        for number, point in enumerate(kills):
            run.kill_at(point, callback=number % 2 == 0)
        counts = run.finish()
        outputs, temp = run.worker.outputs, folder / "temp"
        assert eventually(lambda: not leftovers(outputs, temp)), leftovers(outputs, temp)
        check(counts, run.jobs)
    assert eventually(lambda: not processes_of(folder))
    return counts


def check(counts: Counts, jobs: dict[str, bool]) -> None:
    """Compare what was found with what was promised."""
    assert (counts.not_completed, counts.lost) == ([], [])
    promised = {job_id for job_id, has_callback in jobs.items() if has_callback}
    assert set(counts.heard) == promised
    assert {len(bodies) for bodies in counts.bodies.values()} == {1}
    assert {len(ids) for ids in counts.ids.values()} == {1}
    twice = sum(count - 1 for count in counts.heard.values())
    assert twice == sum(counts.kills[point] for point in SENT_TWICE), counts.heard
    assert counts.outputs >= counts.jobs


def test_a_few_kills_of_a_worker_and_a_server(tmp_path: Path) -> None:
    """In the encoder, and between result and record; the whole matrix is a slow test."""
    run_rest(tmp_path, [("in the encoder", False), ("after the result", True)])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victims", REST)
def test_kills_at_every_point_over_rest_lose_and_double_nothing(tmp_path: Path, victims: str) -> None:
    """Twice at each point: all jobs end, all outputs can be decoded, all callbacks arrive, nothing is left."""
    kills = 2 * REST[victims]
    counts = run_rest(tmp_path, kills)
    assert sum(counts.kills.values()) == len(kills)
    report(f"REST, {victims}", counts)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_of_runpod_workers_at_every_point_lose_and_double_nothing(tmp_path: Path) -> None:
    """Twice at each point, the job being given out again: as for the REST server."""
    kills = [*PLAIN, *PLAIN]
    counts = run_plain(tmp_path, kills)
    assert sum(counts.kills.values()) == len(kills)
    report("plain handler", counts)


def report(kind: str, counts: Counts) -> None:
    """Print the figures; seen with ``pytest -s``."""
    figures = {
        "kills": sum(counts.kills.values()),
        "points": len(counts.kills),
        "jobs": counts.jobs,
        "outputs": counts.outputs,
        "callbacks": len(counts.heard),
        "sent_twice": sum(counts.heard.values()) - len(counts.heard),
    }
    print(kind, json.dumps(figures))  # noqa: T201 - for docs/reliability.md
