"""What a preview costs is known before it begins, and a preview that is cancelled ends on the way to its part."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from framepack.job import Job
from framepack.media.read.decoder import Decoder
from framepack.media.read.probe import probe
from framepack.media.read.reader import decoded_frames
from framepack.settings import Settings
from tests.support.bombs import gif_of_patches
from tests.support.clips import Spec, make_clip
from tests.support.runs import bench

BRIGHTER: dict[str, Any] = {"type": "filters", "params": {"brightness": 5}}


def counting(monkeypatch: pytest.MonkeyPatch, job: Job | None = None, cancelled_at: int = 0) -> list[int]:
    """Collect a number for each packet that is decoded; at one of them, cancel the job."""
    decoded: list[int] = []
    decode = Decoder._decode_packet

    def counted(decoder: Decoder, packet: Any, codec: Any) -> list[av.VideoFrame]:
        decoded.append(len(decoded))
        if job is not None and len(decoded) == cancelled_at:
            job.cancel()
        return decode(decoder, packet, codec)

    monkeypatch.setattr(Decoder, "_decode_packet", counted)
    return decoded


def test_a_preview_far_behind_the_only_key_frame_of_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is decoded, in a sentence that says what would fit."""
    bomb = gif_of_patches(tmp_path / "bomb.gif")
    decoded = counting(monkeypatch)
    own = bench(tmp_path)

    answer = own.run("preview", bomb, operations=[BRIGHTER], at_seconds=300)

    assert answer["code"] == "too_large"
    assert answer["error"] == (
        "For this part, 15001 frames of 3000 x 3000 pixels have to be decoded, from the key frame before it on, 135 "
        "gigapixels in all; at most 8, 888 frames of this size, per preview are allowed: one at 17.750 seconds "
        "would fit."
    )
    assert decoded == []
    assert own.leftovers() == []


def test_the_time_that_a_refused_preview_names_is_the_last_that_fits(tmp_path: Path) -> None:
    """A frame later is refused."""
    clip = gif_of_patches(tmp_path / "long.gif", side=64, count=200)
    own = bench(tmp_path, max_preview_gigapixels=40 * 64 * 64 / 1e9)
    refused = own.run("preview", clip, operations=[BRIGHTER], at_seconds=3)
    found = re.search(r"one at ([0-9.]+) seconds would fit", refused["error"])
    assert found is not None

    at, later = float(found[1]), float(found[1]) + 0.02

    assert own.run("preview", clip, operations=[BRIGHTER], at_seconds=at)["frame"] == 39
    assert own.run("preview", clip, operations=[BRIGHTER], at_seconds=later)["code"] == "too_large"


@pytest.mark.parametrize(("at", "seconds"), [(7.9, 2), (11.9, 2), (11.99, 0), (11.7, 0.5)])
def test_the_time_that_is_named_fits_also_where_the_end_cuts_the_part(
    tmp_path: Path, at: float, seconds: float
) -> None:
    """An earlier part is longer. B-frames take a frame behind them, and times are rounded."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(size=(64, 48), count=300, options={"bf": "3", "g": "300"}))
    own = bench(tmp_path, max_preview_gigapixels=150 * 64 * 48 / 1e9)
    refused = own.run("preview", clip, operations=[BRIGHTER], at_seconds=at, seconds=seconds)
    found = re.search(r"one at ([0-9.]+) seconds would fit", refused["error"])
    assert found is not None

    again = own.run("preview", clip, operations=[BRIGHTER], at_seconds=float(found[1]), seconds=seconds)

    assert "error" not in again


@pytest.mark.parametrize(("interval", "fps"), [(600, 60), (250, 25), (240, 60)])
def test_long_videos_of_4k_with_few_key_frames_are_within_the_default_limit(interval: int, fps: int) -> None:
    """At any time, two seconds of them, with the frames by which decoding begins earlier."""
    most = Settings().max_preview_gigapixels * 1e9

    assert (interval + 16 + 2 * fps) * 3840 * 2160 < most


@pytest.mark.parametrize("at", [0, 0.03, 1.59, 1.61, 2.2, 3.19, 3.21, 5, 7.9, 99])
def test_a_video_of_any_length_is_previewed_anywhere_between_near_key_frames(tmp_path: Path, at: float) -> None:
    """Only frames from the key frame before count."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=200, options={"g": "40", "keyint_min": "40"}))
    own = bench(tmp_path, max_preview_gigapixels=(40 + 16 + 3) * 64 * 48 / 1e9)

    answer = own.run("preview", clip, operations=[BRIGHTER], at_seconds=at)

    assert answer["frame"] == min(int(at * 25), 199)


def test_the_price_of_a_part_is_its_packets_from_the_key_frame_on(tmp_path: Path) -> None:
    """As they lie in the file, with B-frames."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=120, options={"g": "50", "bf": "3", "sc_threshold": "0"}))
    with av.open(str(clip)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
    ticks = sorted(each.pts or 0 for each in packets)
    keys = [number for number, each in enumerate(packets) if each.is_keyframe]
    assert keys == [0, 50, 100]
    info = probe(clip)

    for first, count, key in ((0, 1, 0), (49, 1, 0), (60, 5, 0), (66, 1, 50), (90, 10, 50), (118, 2, 100)):
        last = next(number for number, each in enumerate(packets) if each.pts == ticks[first + count - 1])
        assert decoded_frames(info, range(first, first + count)) == last + 1 - key


def test_steps_without_a_network_have_the_limit_of_previews(tmp_path: Path) -> None:
    """A part that is repeated costs what is computed and encoded of it."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=50))
    own = bench(tmp_path, max_preview_gigapixels=100 * 64 * 48 / 1e9)
    steps = [{"type": "loop", "params": {"num_loops": 10}}, {"type": "export", "params": {"format": "gif"}}]

    answer = own.run("preview", clip, operations=steps, seconds=2)

    assert answer["code"] == "too_large"
    assert "per preview are allowed" in answer["error"]
    assert "frame" in own.run("preview", clip, operations=[BRIGHTER], seconds=2)


def test_a_preview_that_is_cancelled_on_the_way_to_its_part_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within packets of that moment, not when its frame is there; nothing works on behind it."""
    clip = gif_of_patches(tmp_path / "long.gif", side=64, count=3000)
    own, job = bench(tmp_path), Job("test")
    decoded = counting(monkeypatch, job, cancelled_at=30)

    answer = own.run("preview", clip, operations=[BRIGHTER], at_seconds=2990 / 50, job=job)

    assert answer["code"] == "cancelled"
    assert len(decoded) <= 31
    assert [each.name for each in threading.enumerate() if each.name == "prefetch"] == []
    assert own.leftovers() == []


@pytest.mark.parametrize(
    ("operation", "scope"), [("analyze", "analysis"), ("save_video", "saved file"), ("preview", "preview")]
)
def test_an_animated_image_that_takes_long_to_convert_is_refused_in_the_light_lane(
    tmp_path: Path, operation: str, scope: str
) -> None:
    """Other operations, which nobody waits behind, take it."""
    images = [Image.new("RGB", (64, 64), (number, 0, 0)) for number in range(20)]
    images[0].save(tmp_path / "long.png", save_all=True, append_images=images[1:], duration=40)
    own = bench(tmp_path, max_preview_gigapixels=10 * 64 * 64 / 1e9)
    fields: dict[str, Any] = {"operations": [BRIGHTER]} if operation == "preview" else {}

    answer = own.run(operation, tmp_path / "long.png", **fields)

    assert answer["code"] == "too_large"
    assert answer["error"].startswith("The video has 20 frames of 64 x 64 pixels, ")
    assert f"per {scope} are allowed: 10 frames of this size" in answer["error"]
    assert own.leftovers() == []
    assert "output_path" in own.run("filters", tmp_path / "long.png", brightness=5)
