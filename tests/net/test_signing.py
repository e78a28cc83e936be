"""Signatures follow the Standard Webhooks specification."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from framepack.net.signing import Signer

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def test_the_published_example_has_its_published_signature() -> None:
    """The specification's reference example gives its published signature."""
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", clock=lambda: 1614265330.0)
    headers = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers() | st.text(st.characters(codec="utf-8"))))
def test_an_independent_verifier_accepts_the_signature(payload: dict[str, object]) -> None:
    """Whatever the payload, the signature of the present moment verifies."""
    body = json.dumps(payload, ensure_ascii=False).encode()
    assert Webhook(SECRET).verify(body, Signer(SECRET).sign("msg_1", body)) == payload


def test_a_changed_body_or_id_or_secret_is_noticed() -> None:
    """The signature covers the body and the id, and needs the key."""
    headers = Signer(SECRET).sign("msg_1", b"{}")
    for secret, body, changed in (
        (SECRET, b"{ }", headers),
        (SECRET, b"{}", {**headers, "webhook-id": "msg_2"}),
        ("whsec_" + base64.b64encode(b"other").decode(), b"{}", headers),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, changed)


def test_base64_padding_is_optional_and_a_secret_may_be_plain_text() -> None:
    """Base64 may lack its padding; a text without the prefix is the key itself, also if it looks like base64."""
    expected = Signer(SECRET, clock=lambda: 0).sign("id", b"x")
    assert Signer(SECRET.rstrip("="), clock=lambda: 0).sign("id", b"x") == expected
    assert Signer(KEY.decode(), clock=lambda: 0).sign("id", b"x") == expected
    assert Signer(SECRET.removeprefix("whsec_"), clock=lambda: 0).sign("id", b"x") != expected


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_====", "whsec_a", "whsec_not base64!", "whsec_é"])
def test_an_empty_or_broken_secret_is_refused(secret: str) -> None:
    """An empty or broken secret is an error at start, not a weak signature later."""
    with pytest.raises(ValueError, match="whsec_ followed by base64, or any other text"):
        Signer(secret)


def test_the_repr_of_a_signer_shows_no_secret() -> None:
    """A signer's text does not hold its key."""
    assert "some words" not in repr(Signer("some words"))
