"""``batch`` from request to files: each video on its own."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from framepack.answer import Answer as Result
from framepack.files.workspace import Workspace
from framepack.job import Job, Progress
from framepack.operations.postprocess import batch
from framepack.processing.render import render_chain
from tests.support.clips import Spec, flat, make_clip, truncate
from tests.support.http_server import Answer, HttpServer
from tests.support.readback import read_back
from tests.support.runs import Bench, bench

EXPORT = {"type": "Export", "params": {"quality": 60}}
RED, GREEN = (200, 60, 50), (60, 180, 70)


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker that may fetch from this machine."""
    return bench(tmp_path, allowed_hosts=("127.0.0.1",))


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    """A red video and a longer green one."""
    return [
        make_clip(tmp_path / "red.mp4", Spec(count=10, frame=flat(RED))),
        make_clip(tmp_path / "green.mp4", Spec(count=20, frame=flat(GREEN))),
    ]


def inline(path: Path) -> dict[str, str]:
    """A source in base64."""
    return {"video_base64": base64.b64encode(path.read_bytes()).decode()}


def run(worker: Bench, videos: list[Any], job: Job | None = None, **fields: Any) -> Result:
    """Run a batch of one operation."""
    return worker.run("batch", videos=videos, operations=[EXPORT], job=job, **fields)


def output_of(worker: Bench, result: dict[str, Any]) -> Path:
    """The file of one result."""
    path = worker.runtime.location(result)
    assert path is not None
    return path


def is_red(path: Path) -> bool:
    """Whether a video is the red one."""
    frame = read_back(path).frames[0]
    return bool(frame[..., 0].mean() > frame[..., 1].mean())


def test_every_video_has_its_result(worker: Bench, clips: list[Path]) -> None:
    """Totals, places, sources and files are those of the videos, in their order."""
    with HttpServer({"/green.mp4": Answer(body=clips[1].read_bytes())}) as server:
        url = f"{server.url}/green.mp4?signature=secret"
        answer = run(worker, [inline(clips[0]), {"video_url": url}])

    assert answer["success"] is True
    assert answer["message"] == "Batch processing complete: 2 successful, 0 failed"
    assert (answer["total_videos"], answer["successful"], answer["failed"]) == (2, 2, 0)
    first, second = answer["results"]
    assert (first["index"], first["success"], first["input_source"]) == (0, True, "base64")
    assert (second["index"], second["success"], second["input_source"]) == (1, True, url.partition("?")[0])
    assert second["output_filename"].startswith("green_processed_")
    outputs = [output_of(worker, result) for result in (first, second)]
    assert [is_red(path) for path in outputs] == [True, False]
    assert [len(read_back(path).frames) for path in outputs] == [10, 20]
    assert [base64.b64decode(result["output_video_base64"]) for result in (first, second)] == [
        path.read_bytes() for path in outputs
    ]
    assert "error" not in first
    assert worker.leftovers() == []


def test_a_bad_video_does_not_affect_the_others(worker: Bench, clips: list[Path], tmp_path: Path) -> None:
    """What is no video, not there, forbidden, broken or too long fails alone and says why; the rest is done."""
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video" * 100)
    with HttpServer({}) as server:
        videos = [
            inline(clips[0]),
            inline(junk),
            {"video_url": f"{server.url}/missing.mp4"},
            {"video_url": "http://10.0.0.1/a.mp4"},
            {"video_base64": "%%%"},
            inline(truncate(clips[1], tmp_path / "cut.mp4", 0.3)),
            inline(make_clip(tmp_path / "long.mp4", Spec(size=(16, 16), count=60))),
            inline(clips[1]),
        ]
        limited = bench(tmp_path, allowed_hosts=("127.0.0.1",), max_frames=50)
        answer = run(limited, videos)

    assert answer["success"] is False
    assert answer["message"] == "Batch processing complete: 2 successful, 6 failed"
    assert [result["index"] for result in answer["results"]] == list(range(8))
    assert [result["success"] for result in answer["results"]] == [True, *[False] * 6, True]
    assert [result.get("code") for result in answer["results"][1:-1]] == [
        "invalid_media",
        "source_failed",
        "source_not_allowed",
        "invalid_source",
        "invalid_media",
        "too_large",
    ]
    assert all(result["error"] and "output_path" not in result for result in answer["results"][1:-1])
    assert not is_red(output_of(limited, answer["results"][-1]))
    assert worker.leftovers() == []


def test_an_unexpected_error_does_not_affect_the_other_videos(
    worker: Bench, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unforeseen error in the midst of one video stays with it, and tells nothing of the inside."""
    calls: list[Any] = []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("secret detail")
        return render_chain(*arguments)

    monkeypatch.setattr(batch, "render_chain", failing)
    answer = run(worker, [inline(clips[0])] * 3)

    assert [result["success"] for result in answer["results"]] == [True, False, True]
    assert answer["results"][1]["code"] == "internal_error"
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"videos": [{"video_url": "http://127.0.0.1/a.mp4"}, {}]}, "videos[1]: Either video_base64 or video_url is"),
        ({"videos": [{"video_url": "http://127.0.0.1/a.mp4", "video_base64": "AA"}]}, "videos[0]: Only one of"),
        ({"videos": [{"vidoe_url": "http://127.0.0.1/a.mp4"}]}, "videos[0]"),
        ({"videos": []}, "videos must have at least 1 item, not 0."),
        ({"videos": ["http://127.0.0.1/a.mp4"]}, "videos[0] must be"),
        ({"videos": [{"video_url": "http://127.0.0.1/a.mp4"}] * 4}, "maximum 3"),
        ({"operations": [{"type": "upscale", "params": {"scale_factor": 9}}]}, "operations[0].params.scale_factor"),
        ({"operations": []}, "operations must have at least 1 item, not 0."),
    ],
)
def test_invalid_batches_are_refused_before_the_download(
    tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    """What is wrong with the request itself is said before any video is fetched."""
    limited = bench(tmp_path, allowed_hosts=("127.0.0.1",), max_batch_videos=3)
    with HttpServer({}) as server:
        request = {"videos": [{"video_url": f"{server.url}/a.mp4"}], "operations": [EXPORT], **fields}
        answer = limited.run("batch", **request)
        assert server.requests == []

    assert sentence in answer["error"]
    assert answer["status"] in {400, 413}


def test_progress_goes_on_across_the_batch(worker: Bench, clips: list[Path], tmp_path: Path) -> None:
    """Percent and frames only grow, from video to video and over one that fails, up to the whole."""
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video" * 100)
    reports: list[Progress] = []

    run(worker, [inline(clips[0]), inline(junk), inline(clips[1])], job=Job("test", reports.append))

    percents = [report.percent or 0 for report in reports]
    assert percents == sorted(percents)
    assert percents[4] == pytest.approx(100 * 5 / 10 / 3)
    assert percents[-1] == 100
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert reports[-1].done == 30
    assert reports[-1].remaining_seconds == 0
    assert reports[3].remaining_seconds


def test_cancelling_stops_the_whole_batch(worker: Bench, clips: list[Path]) -> None:
    """A batch cancelled in its second video ends there, without files left behind in the working folder."""
    job = Job("test")
    job.report = lambda progress: job.cancel() if progress.done == 15 else None

    answer = run(worker, [inline(clips[0]), inline(clips[0]), inline(clips[1])], job=job)

    assert answer["code"] == "cancelled"
    assert len(list((worker.folder / "outputs").rglob("*.mp4"))) == 1
    assert worker.leftovers() == []


def test_files_are_removed_as_it_goes(worker: Bench, clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """When a video is begun, nothing of the one before is in the working folder."""
    found: list[list[str]] = []
    path = Workspace.path

    def noting(self: Workspace, name: str) -> Path:
        if name == "source":
            found.append([each.name for each in self.folder.iterdir()])
        return path(self, name)

    monkeypatch.setattr(Workspace, "path", noting)
    run(worker, [inline(clip) for clip in clips * 2])

    assert found == [[], [], [], []]


def test_inline_copies_share_one_limit(tmp_path: Path, clips: list[Path]) -> None:
    """Outputs beyond what an answer may carry are in the store only."""
    first = run(bench(tmp_path), [inline(clips[0])])["results"][0]
    limited = bench(tmp_path, inline_limit_mb=1.5 * first["output_file_size"] / 1e6)

    results = run(limited, [inline(clips[0])] * 2)["results"]

    assert ["output_video_base64" in result for result in results] == [True, False]
    assert all(output_of(limited, result).stat().st_size for result in results)


def test_warnings_stay_with_their_video(worker: Bench, clips: list[Path], tmp_path: Path) -> None:
    """What is said of one video is not said of the next."""
    from tests.support.clips import corrupt

    spoilt = corrupt(
        make_clip(tmp_path / "long.mp4", Spec(size=(128, 96), count=60)), tmp_path / "spoilt.mp4", 0.5, 0.6
    )

    results = run(worker, [inline(spoilt), inline(clips[0])])["results"]

    assert results[0]["warnings"]
    assert "warnings" not in results[1]


def test_one_callback_reports_all_videos(worker: Bench, clips: list[Path], tmp_path: Path) -> None:
    """The receiver hears once, with a summary of every video and no video in it."""
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video" * 100)
    with HttpServer({"/cb": Answer()}) as server:
        answer = run(worker, [inline(clips[0]), inline(junk)], callback_url=f"{server.url}/cb")
        [received] = server.requests

    body = json.loads(received.body)
    assert body["operation"] == "batch"
    assert body["success"] is False
    assert body["error"] == "Batch processing complete: 1 successful, 1 failed"
    assert body["metadata"]["results_summary"] == [
        {"index": 0, "success": True, "output_path": answer["results"][0]["output_path"]},
        {"index": 1, "success": False, "error": answer["results"][1]["error"]},
    ]
    assert (body["metadata"]["total_videos"], body["metadata"]["operations_count"]) == (2, 1)
    assert "base64" not in json.dumps(body)
