"""Answers stay within what the platform can carry."""

import json

import pytest

from framepack.worker.handler import printable
from framepack.worker.payload import fitted, limit_bytes


def test_a_small_answer_is_left_alone() -> None:
    """Nothing is dropped that fits."""
    answer = {"success": True, "output_video_base64": "A" * 100}

    assert fitted(answer, 1000) == answer


def test_inline_files_are_dropped_first() -> None:
    """An answer over the limit keeps everything but its inline files, however deep they are."""
    answer = {
        "success": True,
        "output_video_base64": "A" * 2000,
        "results": [{"output_path": "/outputs/a.mp4", "output_video_base64": "A" * 2000}],
    }

    assert fitted(answer, 1000) == {"success": True, "results": [{"output_path": "/outputs/a.mp4"}]}


def test_an_answer_that_cannot_fit_says_so() -> None:
    """What is too large without inline files becomes a sentence, never silence."""
    answer = fitted({"frames": ["frame_000000.png"] * 1000}, 1000)

    assert (answer["code"], answer["status"]) == ("too_large", 413)


def test_size_is_measured_as_the_platform_gets_it() -> None:
    """Characters outside ASCII count with all their bytes."""
    answer = {"text": "ü" * 600, "output_base64": "A"}

    assert fitted(answer, 1100) == {
        "error": "The answer is over the platform's limit of 0 MB; ask for less at a time.",
        "code": "too_large",
        "status": 413,
    }


@pytest.mark.parametrize(("job_id", "largest"), [("sync-1", 20_000_000), ("1", 10_000_000)])
def test_synchronous_jobs_may_answer_more(job_id: str, largest: int) -> None:
    """The limit leaves room for the envelope the SDK adds."""
    assert 0 < largest - limit_bytes(job_id) < 10_000


def test_a_person_sees_inline_files_shortened() -> None:
    """The terminal shows where base64 is and how long, not all of it."""
    shown = json.loads(printable({"output_video_base64": "A" * 5000, "results": [{"frame_base64": "B" * 70}]}))

    assert shown["output_video_base64"] == "AAAAAAAAAAAAAAAA... (5,000 characters)"
    assert shown["results"] == [{"frame_base64": "BBBBBBBBBBBBBBBB... (70 characters)"}]
