"""The webhooks of the OpenAPI document: what the receiver of a callback gets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from framepack.answer import failure
from framepack.api.ended_job import FailedJob, SucceededJob
from framepack.api.schemas import CallbackRequest, VideoResponse
from framepack.callback import Callbacks
from framepack.errors import SourceFailed
from framepack.job import Job
from framepack.rest.openapi.schemas import alternatives

if TYPE_CHECKING:
    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

Json = dict[str, Any]

MODELS: Final = (SucceededJob, FailedJob)
"""The models of the bodies."""

_HEADERS: Final = {
    "webhook-id": "Id of the message, the same in every attempt: use it to detect duplicates",
    "webhook-timestamp": "Seconds since 1970 of this attempt; only with `FRAMEPACK_WEBHOOK_SECRET`",
    "webhook-signature": "Signature of Standard Webhooks; only with `FRAMEPACK_WEBHOOK_SECRET`",
    "X-Operation-Type": "Name of the operation",
}
_JOB_ID: Final = "4f1c2a9be0d74c6f8d1f3b5a7c9e0d12"
_ENDED: Final = datetime(2025, 11, 28, 20, 15, 13, 858_000, UTC)
_VIDEO: Final = VideoResponse(
    message="Video upscaled successfully",
    output_path="/outputs/postprocessed_videos/video_upscaled_x2_251128_201513_0k3x9z.mp4",
    output_url="https://example.com/outputs/postprocessed_videos/video_upscaled_x2_251128_201513_0k3x9z.mp4?signature=...",
    output_filename="video_upscaled_x2_251128_201513_0k3x9z.mp4",
    output_file_size=1_500_000,
)


def webhooks(registry: Registry) -> Json:
    """The one webhook there is, with examples of a success and of a failure."""
    schema = alternatives(model.__name__ for model in MODELS)
    examples = {name: {"summary": name, "value": value} for name, value in _examples(registry).items()}
    receiver = {
        "operationId": "job_ended",
        "summary": "A job has ended.",
        "description": (
            "Sent to the `callback_url` of a request, at least once. A `callback_token` of the request is in "
            "`Authorization: Bearer`."
        ),
        "tags": ["callbacks"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
            for name, meaning in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "examples": examples}},
        },
        "responses": {
            "2XX": {"description": "The callback is delivered"},
            "410": {"description": "The receiver wants no further attempts"},
            "default": {"description": "The callback is attempted again later"},
        },
    }
    return {"jobEnded": {"post": receiver}}


def _examples(registry: Registry) -> Json:
    """What the worker sends in two cases, made by the code that sends it."""
    operation, fields = _with_callback(registry)
    callbacks = Callbacks(check_address=lambda _url: None, origin=lambda url: url, now=lambda: _ENDED)
    success = callbacks.about_answer(operation, operation.request.parse(fields), _VIDEO.payload(), Job(_JOB_ID))
    failed = failure(SourceFailed("The server of the video responded with status 404."))
    failed_message = callbacks.about_failure(operation, fields, failed, _JOB_ID, is_checked=True)
    found = {"Success": success, "Failure": failed_message}
    return {name: json.loads(message.body) for name, message in found.items() if message is not None}


def _with_callback(registry: Registry) -> tuple[AnyOperation, Json]:
    """An operation that makes a video, and an example of it, with a callback."""
    operation, example = next(
        (each, example)
        for each in sorted(registry, key=lambda each: each.response is not VideoResponse)
        if issubclass(each.request, CallbackRequest)
        for example in each.examples.values()
        if "callback_url" in example
    )
    return operation, dict(example)
