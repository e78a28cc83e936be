"""Answers stay within what the platform can carry."""

import json
from typing import Any

import pytest

from framepack.settings import Settings
from framepack.worker.handler import printable
from framepack.worker.payload import limit_bytes, limit_warnings, within_limit


def test_an_answer_within_the_limit_is_unchanged() -> None:
    """Nothing is removed."""
    answer = {"success": True, "output_video_base64": "A" * 100}

    assert within_limit(answer, 1000) == answer


def test_an_answer_over_the_limit_loses_only_its_inline_files() -> None:
    """Inline files are removed at any depth; everything else is kept."""
    answer = {
        "success": True,
        "output_video_base64": "A" * 2000,
        "results": [{"output_path": "/outputs/a.mp4", "output_video_base64": "A" * 2000}],
    }

    light = within_limit(answer, 1000)

    assert light.keys() == {"success", "results"}
    assert light["results"][0].keys() == {"output_path", "warnings"}


def test_an_inline_frame_is_dropped_like_an_inline_video() -> None:
    """Its field is called ``base64``."""
    frame = {"path": "/outputs/f.png", "mime_type": "image/png", "base64": "A" * 2000, "url": "https://a/f.png"}

    assert within_limit(frame, 1000) == {name: each for name, each in frame.items() if name != "base64"}


@pytest.mark.parametrize(
    "out_of_reach",
    [
        {"output_path": "/outputs/a.mp4", "output_file_size": 6_000_000},
        {"saved_path": "/outputs/a.mp4", "filename": "a.mp4"},
        {"path": "/outputs/f.png", "mime_type": "image/png"},
    ],
)
def test_a_file_without_url_or_inline_copy_gets_a_warning_naming_the_settings(out_of_reach: dict[str, Any]) -> None:
    """The warning follows existing ones. It also covers files in nested results."""
    answer = within_limit({**out_of_reach, "warnings": ["Frame 3 is damaged."]}, 10_000)
    batch = within_limit({"success": True, "results": [out_of_reach]}, 10_000)

    assert answer["warnings"][0] == "Frame 3 is damaged."
    assert batch["results"][0]["warnings"] == answer["warnings"][1:]
    for part in ("FRAMEPACK_STORAGE=s3://", "FRAMEPACK_PUBLIC_URL", "FRAMEPACK_INLINE_LIMIT_MB", "up to 7.4."):
        assert part in answer["warnings"][1]


@pytest.mark.parametrize(
    "answer",
    [
        {"output_path": "/outputs/a.mp4", "output_url": "https://a/a.mp4"},
        {"output_path": "/outputs/a.mp4", "output_video_base64": "AAAA"},
        {"path": "/outputs/f.png", "filename": "f.png", "index": 0},
        {"error": "The source is no video.", "code": "invalid_media", "status": 400},
    ],
)
def test_an_answer_with_a_url_or_an_inline_file_gets_no_warning(answer: dict[str, Any]) -> None:
    """Neither do lists of frames, which are downloaded by name, nor errors."""
    assert within_limit(answer, 1000) == answer


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, ["Outputs of more than 5 MB cannot be downloaded"]),
        ({"inline_limit_mb": 0}, ["Outputs of more than 0 MB cannot be downloaded"]),
        ({"public_url": "https://a.example"}, []),
        ({"storage": "s3://bucket/x"}, []),
        ({"storage": "s3://bucket/x", "inline_limit_mb": 7.4}, []),
        ({"storage": "s3://bucket/x", "inline_limit_mb": 30}, ["FRAMEPACK_INLINE_LIMIT_MB=30 exceeds RunPod"]),
        ({"inline_limit_mb": 30}, ["FRAMEPACK_INLINE_LIMIT_MB=30", "Outputs of more than 7.42 MB cannot"]),
    ],
)
def test_a_deployment_without_links_or_with_a_high_limit_is_warned_at_start(
    settings: dict[str, Any], told: list[str]
) -> None:
    """The limit is higher than RunPod's."""
    sentences = list(limit_warnings(Settings(**{"storage": "file:outputs", **settings})))

    assert len(sentences) == len(told)
    assert all(sentence.startswith(start) for sentence, start in zip(sentences, told, strict=True))


def test_an_answer_over_the_limit_without_inline_files_becomes_an_error() -> None:
    """The error message names RunPod's limit."""
    answer = within_limit({"frames": ["frame_000000.png"] * 1000}, 1000)

    assert (answer["code"], answer["status"]) == ("too_large", 413)


def test_non_ascii_characters_count_with_all_their_bytes() -> None:
    """The limit is in bytes of UTF-8."""
    answer = {"text": "ü" * 600, "output_base64": "A"}

    assert within_limit(answer, 1100) == {
        "error": "The answer exceeds RunPod's limit of 0 MB; request less at a time.",
        "code": "too_large",
        "status": 413,
    }


@pytest.mark.parametrize(("job_id", "largest"), [("sync-1", 20_000_000), ("1", 10_000_000)])
def test_synchronous_jobs_have_a_higher_limit(job_id: str, largest: int) -> None:
    """A few kilobytes are reserved for the envelope that the SDK adds."""
    assert 0 < largest - limit_bytes(job_id) < 10_000


def test_inline_files_are_shortened_on_the_terminal() -> None:
    """The start and the length of the base64 text are shown."""
    shown = json.loads(printable({"output_video_base64": "A" * 5000, "results": [{"frame_base64": "B" * 70}]}))

    assert shown["output_video_base64"] == "AAAAAAAAAAAAAAAA... (5,000 characters)"
    assert shown["results"] == [{"frame_base64": "BBBBBBBBBBBBBBBB... (70 characters)"}]
