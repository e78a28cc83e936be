"""A typed client of the REST server, which needs only HTTPX and pydantic.

>>> from framepack.client import Client
>>> with Client("http://localhost:8000", "my-key") as client:
...     client.upscale(video="clip.mp4", scale_factor=2).download("large.mp4")
"""

from framepack.client.client import AsyncClient, Client
from framepack.client.errors import (
    ApiError,
    ClientError,
    InvalidWebhook,
    JobCancelled,
    JobFailed,
    ServerUnreachable,
    UnexpectedAnswer,
)
from framepack.client.generated import answers, requests
from framepack.client.jobs import AsyncJob, Job, JobView, Progress
from framepack.client.sources import Source, Upload
from framepack.client.timing import Timing
from framepack.client.webhooks import Webhook, verify_webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ClientError",
    "InvalidWebhook",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobView",
    "Progress",
    "ServerUnreachable",
    "Source",
    "Timing",
    "UnexpectedAnswer",
    "Upload",
    "Webhook",
    "answers",
    "requests",
    "verify_webhook",
]
