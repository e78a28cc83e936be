"""Webhooks are accepted only with a right and fresh signature, compared with an independent implementation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Independent

from framepack.client import Client, InvalidWebhook, verify_webhook
from tests.client.conftest import SECRET
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import RestServer, eventually

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BODY = json.dumps(
    {"type": "postprocess", "operation": "loop", "job_id": "j1", "success": True, "timestamp": "2026-05-01T12:00:00"}
)


def signed(body: str = BODY, secret: str = SECRET, moment: datetime = NOW) -> dict[str, str]:
    """The headers of a message, made by another library, in the letters of some web frameworks."""
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": Independent(secret).sign("msg_1", moment, body),
    }


def verified(body: str, headers: dict[str, str], secret: str = SECRET, seconds_later: float = 10) -> str:
    """The job that an accepted message is about."""
    return verify_webhook(body, headers, secret, clock=lambda: NOW.timestamp() + seconds_later).job_id


def test_a_signed_message_is_accepted() -> None:
    """Its body may be bytes; of several signatures, as while a secret is changed, one is enough."""
    headers = signed()
    assert verified(BODY, headers) == "j1"
    both = {**headers, "Webhook-Signature": f"v1,AAAA {headers['Webhook-Signature']}"}
    assert verified(BODY, both) == "j1"
    assert verify_webhook(BODY.encode(), headers, SECRET, clock=NOW.timestamp).success is True


WRONG = {
    "another secret": (BODY, signed(secret="whsec_" + "b3RoZXI="), 0, "not signed with this secret"),
    "another body": (BODY.replace("j1", "j2"), signed(), 0, "not signed with this secret"),
    "another id": (BODY, {**signed(), "Webhook-Id": "msg_2"}, 0, "not signed with this secret"),
    "another version": (BODY, {**signed(), "Webhook-Signature": "v2,AAAA"}, 0, "not signed with this secret"),
    "an old one": (BODY, signed(), 301, "older than 300 seconds"),
    "one from the future": (BODY, signed(), -301, "from the future"),
    "no time": (BODY, {**signed(), "Webhook-Timestamp": "now"}, 0, "webhook-timestamp is not a number"),
    "no signature": (BODY, {"Webhook-Id": "1", "Webhook-Timestamp": "1"}, 0, "webhook-signature is missing"),
    "no job": ("[]", signed("[]"), 0, "not about a job"),
}


@pytest.mark.parametrize(("body", "headers", "later", "reason"), WRONG.values(), ids=WRONG)
def test_any_other_message_is_refused(body: str, headers: dict[str, str], later: float, reason: str) -> None:
    """The reason is one sentence."""
    with pytest.raises(InvalidWebhook, match=reason):
        verified(body, headers, seconds_later=later)


def test_the_servers_own_callback_is_accepted(client: Client, server: RestServer, clip: Path) -> None:
    """Of a job that the client submitted, with a token that gateways ask for."""
    with HttpServer(lambda _: Answer(200)) as receiver:
        job = client.submit.loop(video=clip, callback_url=f"{receiver.url}/hook", callback_token="token")
        path = job.result().output_path
        assert eventually(lambda: receiver.requests)
    received = receiver.requests[0]
    message = verify_webhook(received.body, dict(received.headers), SECRET)

    assert (message.job_id, message.operation, message.success) == (job.id, "loop", True)
    assert message.output_path == path
    assert received.headers["Authorization"] == "Bearer token"
    with pytest.raises(InvalidWebhook, match="not signed with this secret"):
        verify_webhook(received.body + b" ", dict(received.headers), SECRET)
