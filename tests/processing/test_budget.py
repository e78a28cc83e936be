"""The product of frames and pixels is limited for a whole job, and work over it is refused before it starts."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from framepack.errors import TooLarge
from framepack.media.clip import Clip
from framepack.processing.limits import Budget, Work
from framepack.settings import Settings
from tests.support.bombs import gif_of_patches
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.runs import Bench, bench

BRIGHTER = {"type": "filters", "params": {"brightness": 5}}
PIXELS = 320 * 180


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 320 x 180, 10 frames: 576,000 pixels."""
    return make_clip(tmp_path_factory.mktemp("budget") / "clip.mp4", Spec(size=(320, 180), count=10))


def limited(folder: Path, **gigapixels: float) -> Bench:
    """A worker with small budgets, in pixels."""
    limits = {f"max_{name}_gigapixels": pixels / 1e9 for name, pixels in gigapixels.items()}
    return bench(folder, allowed_hosts=("127.0.0.1",), **limits)


@pytest.mark.parametrize(
    ("seconds", "fps", "size"),
    [(600, 30, (1920, 1080)), (600, 60, (1920, 1080)), (60, 30, (1280, 720)), (360, 30, (3840, 2160))],
)
def test_honest_sources_pass_the_default_budget(seconds: int, fps: int, size: tuple[int, int]) -> None:
    """Ten minutes of 1080p at 60 frames per second, and six of 4K at 30, are decoded, filtered and encoded."""
    budget, settings = Budget(), Settings()
    budget.decode(seconds * fps, *size, settings)
    budget.compute(Work(seconds * fps, *size), settings)
    budget.encode(seconds * fps, *size, settings)


def test_honest_upscales_pass_the_default_budget() -> None:
    """A minute of 720p enlarged 4x passes, and one of 1080p at 60 frames per second through such a network."""
    for frames, width, height in ((60 * 30, 1280, 720), (60 * 60, 1920, 1080)):
        Budget().compute(Work(frames, 4 * width, 4 * height, 4), Settings())
    Budget().encode(60 * 30, 4 * 1280, 4 * 720, Settings())


def test_a_refusal_says_what_was_asked_what_is_allowed_and_what_would_fit() -> None:
    """Source, step and output have sentences of their own; what would fit does fit, and one frame more does not."""
    settings = Settings(max_source_gigapixels=1, max_work_gigapixels=2, max_output_gigapixels=0.5)
    budget = Budget()
    with pytest.raises(TooLarge) as refused:
        budget.decode(3000, 1000, 1000, settings)
    assert refused.value.message == (
        "The video has 3000 frames of 1000 x 1000 pixels, 3 gigapixels in all; at most 1 per job are allowed: "
        "1000 frames of this size, or 3000 frames of 0.333 megapixels would fit."
    )
    with pytest.raises(TooLarge):
        budget.decode(1001, 1000, 1000, settings)
    budget.decode(400, 1000, 1000, settings)
    with pytest.raises(
        TooLarge, match=r"at most 1 per job are allowed, of which 0\.6 are left: 600 frames of this size, or 601"
    ):
        budget.decode(601, 1000, 1000, settings)
    with pytest.raises(TooLarge) as refused:
        budget.compute(Work(1000, 1000, 1000, 4, "RealESRGAN_x4plus"), settings)
    assert refused.value.message == (
        "RealESRGAN_x4plus would compute 1000 frames of 1000 x 1000 pixels, which count 4 times, 4 gigapixels in "
        "all; at most 2 per job are allowed: 500 frames of this size, or 1000 frames of 0.5 megapixels would fit."
    )
    with pytest.raises(TooLarge, match=r"^The output would have 1000 frames of 1000 x 1000 pixels, 1 gigapixels"):
        budget.encode(1000, 1000, 1000, settings)
    assert (budget.decoded, budget.computed, budget.encoded) == (400_000_000, 0, 0)


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        ("filters", {"brightness": 5}),
        ("loop", {}),
        ("loop", {"loop_type": "ping-pong"}),
        ("export", {}),
        ("extract_frames", {}),
        ("save_video", {}),
        ("analyze", {}),
        ("interpolate", {}),
        ("upscale", {}),
        ("pipeline", {"operations": [BRIGHTER]}),
    ],
)
def test_every_operation_refuses_a_source_over_the_budget(
    source: Path, tmp_path: Path, endpoint: str, fields: dict[str, Any]
) -> None:
    """Frames x pixels of the source count for each operation that takes a video; nothing is left behind."""
    work = limited(tmp_path, source=10 * PIXELS - 1)
    answer = work.run(endpoint, source, **fields)
    assert answer["code"] == "too_large"
    assert "10 frames of 320 x 180 pixels" in str(answer["error"])
    assert work.leftovers() == []


def test_a_source_at_the_budget_passes(source: Path, tmp_path: Path) -> None:
    """Exactly the budget is allowed for source, work and output."""
    at_limit = limited(tmp_path, source=10 * PIXELS, work=10 * PIXELS, output=10 * PIXELS)
    at_limit.output(at_limit.run("filters", source, brightness=5))


def test_steps_count_in_sum_and_the_refusal_names_the_step(source: Path, tmp_path: Path) -> None:
    """Two filters cost twice one; the second is refused by its place."""
    work = limited(tmp_path, work=15 * PIXELS)
    work.output(work.run("pipeline", source, operations=[BRIGHTER]))
    answer = work.run("pipeline", source, operations=[BRIGHTER, BRIGHTER])
    assert str(answer["error"]).startswith("operations[1] (filters): This step would compute 10 frames of 320 x 180")
    assert "of which 0.000288 are left: 5 frames of this size, or 10 frames of 0.0288" in str(answer["error"])


def test_interpolation_counts_by_the_frames_it_makes(source: Path, tmp_path: Path) -> None:
    """2x makes 20 frames, each counted twice; a mere change of speed counts once."""
    work = limited(tmp_path, work=20 * PIXELS)
    answer = work.run("interpolate", source, fps_mode="2x")
    assert "20 frames of 320 x 180 pixels, which count 2 times" in str(answer["error"])
    work.output(work.run("interpolate", source, fps_mode="No Interpolation", speed_factor=2))


def test_upscaling_counts_by_the_network_not_by_the_result(source: Path, tmp_path: Path) -> None:
    """The x4 network makes frames of four times the size, whatever they are resized to; faces double it."""
    work = limited(tmp_path, work=PIXELS)
    answer = work.run("upscale", source, model="RealESRGAN_x4plus", scale_factor=1)
    assert "RealESRGAN_x4plus would compute 10 frames of 1280 x 720 pixels, which count 4 times" in str(
        answer["error"]
    )
    answer = work.run("upscale", source, model="RealESRGAN_x2plus", scale_factor=4)
    assert "RealESRGAN_x2plus would compute 10 frames of 640 x 360 pixels, which count 4 times" in str(
        answer["error"]
    )


def test_an_output_counts_as_often_as_it_is_encoded(source: Path, tmp_path: Path) -> None:
    """Loops of an MP4 are encoded once, those of a GIF each time; ping-pong encodes the way back."""
    work = limited(tmp_path, output=10 * PIXELS)
    loop = {"type": "loop", "params": {"num_loops": 3}}
    gif = {"type": "export", "params": {"format": "GIF"}}
    work.output(work.run("pipeline", source, operations=[BRIGHTER, loop]))
    assert "40 frames" in str(work.run("pipeline", source, operations=[loop, gif])["error"])
    assert "18 frames" in str(work.run("loop", source, loop_type="ping-pong")["error"])


def test_extracted_and_reassembled_frames_count(source: Path, tmp_path: Path) -> None:
    """Images are outputs of an extraction, and sources of a reassembly."""
    free = limited(tmp_path)
    folder = free.run("extract_frames", source)["folder_name"]
    small = limited(tmp_path, output=5 * PIXELS)
    assert "10 frames of 320 x 180" in str(small.run("extract_frames", source)["error"])
    assert small.run("extract_frames", source, extraction_rate=2)["frame_count"] == 5
    assert "The output would have 10 frames" in str(small.run("reassemble_frames", folder_name=folder)["error"])
    small = limited(tmp_path, source=5 * PIXELS)
    assert "The video has 10 frames" in str(small.run("reassemble_frames", folder_name=folder)["error"])


def test_a_join_counts_in_sum(source: Path, tmp_path: Path) -> None:
    """The video that exceeds the sum is named."""
    with HttpServer({"/clip.mp4": Answer(body=source.read_bytes())}) as server:
        urls = [f"{server.url}/clip.mp4"] * 3
        answer = limited(tmp_path, source=25 * PIXELS).run("join", video_urls=urls)
        assert str(answer["error"]).startswith("video_urls[2]: The video has 10 frames of 320 x 180 pixels")
        answer = limited(tmp_path, output=25 * PIXELS).run("join", video_urls=urls)
        assert "The output would have 30 frames" in str(answer["error"])
        work = limited(tmp_path, source=30 * PIXELS, output=30 * PIXELS)
        work.output(work.run("join", video_urls=urls))
        answer = limited(tmp_path, source=20 * PIXELS).run("join", video_urls=urls)
        assert str(answer["error"]).endswith(
            "per job are allowed, of which 0 are left: use fewer, shorter or smaller videos, or fewer steps."
        )


@pytest.mark.parametrize("name", ["source", "work", "output"])
def test_a_batch_counts_in_sum(source: Path, tmp_path: Path, name: str) -> None:
    """The videos that still fit are processed, the others say why not; the next job has a budget of its own."""
    video = {"video_base64": base64.b64encode(source.read_bytes()).decode()}
    work = limited(tmp_path, **{name: 25 * PIXELS})
    for _ in range(2):
        answer = work.run("batch", videos=[video] * 3, operations=[BRIGHTER])
        results: list[dict[str, Any]] = answer["results"]
        assert [result["success"] for result in results] == [True, True, False]
        assert "of which 0.000288 are left" in results[2]["error"]


def test_a_section_counts_by_its_own_frames(source: Path, tmp_path: Path) -> None:
    """On the command line a part of a long video may be small enough."""
    from dataclasses import replace

    from framepack.api.schemas import VideoRequest
    from framepack.job import Job, JobInput
    from framepack.media.section import Section
    from framepack.processing.render import open_source

    request = VideoRequest(video_base64=base64.b64encode(source.read_bytes()).decode())
    work = limited(tmp_path, source=5 * PIXELS)
    with work.runtime.job_context(Job("test"), JobInput({})) as ctx:
        open_source(request, replace(ctx, section=Section(end=Fraction(1, 5))))
        assert ctx.budget.decoded == 5 * PIXELS


def test_a_clip_of_unknown_length_costs_nothing_yet() -> None:
    """Its length is charged where it becomes known."""
    from framepack.processing.effect import frames_made

    clip = Clip(lambda: iter(()), Fraction(25), 64, 48, None)
    assert frames_made(clip, clip, None, None).frames == 0  # type: ignore[arg-type]


_HOSTILE = """
import json, re, sys
from pathlib import Path
from tests.support.runs import bench

work = bench(Path(sys.argv[1]))
answer = work.run("filters", Path(sys.argv[2]), brightness=1)
kilobytes = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(json.dumps([answer["error"], int(kilobytes) * 1024, work.leftovers()]))
"""


def test_a_small_file_of_five_hours_of_work_is_refused(tmp_path: Path) -> None:
    """690 KB that decode to 270 gigapixels are refused by the default settings, in under 300 MB."""
    bomb = gif_of_patches(tmp_path / "bomb.gif")
    assert bomb.stat().st_size < 700_000
    done = subprocess.run(
        [sys.executable, "-c", _HOSTILE, str(tmp_path), str(bomb)], capture_output=True, check=True, timeout=60
    )
    error, most_bytes, leftovers = json.loads(done.stdout)
    assert error.startswith("The video has 30000 frames of 3000 x 3000 pixels, 270 gigapixels in all; at most 100")
    assert most_bytes < 300e6
    assert leftovers == []


def test_counting_frames_gives_up_at_the_limit(tmp_path: Path) -> None:
    """A file of a million frames is not counted to its end."""
    answer = bench(tmp_path, max_frames=1000).run("analyze", gif_of_patches(tmp_path / "long.gif", side=64))
    assert answer["error"] == "The video has more than 1000 frames, which is the maximum."
