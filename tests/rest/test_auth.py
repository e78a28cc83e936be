"""Nobody gets past the door without a key, and nobody can tell one closed door from another."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from framepack.rest.auth import PASSWORD_PATHS, ApiKeys
from tests.support.rest_server import KEY, Client, HeldBackend, RestServer, server_in_thread

REFUSAL = {"detail": "Invalid or missing API key", "code": "unauthorized"}
ROUTES = [
    ("GET", "/postprocess/models"),
    ("POST", "/postprocess/upscale"),
    ("DELETE", "/frames/some"),
    ("GET", "/jobs"),
    ("GET", "/metrics"),
    ("POST", "/uploads"),
    ("GET", "/openapi.json"),
    ("GET", "/docs/no-such-file"),
    ("GET", "/no/such/route"),
    ("GET", "/studio/no-such-file.js"),
    ("GET", "/health//"),
    ("DELETE", "/health/"),
    ("GET", "//health"),
    ("GET", "/outputs/postprocessed_output/temp_processing/a.mp4"),
    ("POST", "/outputs/a.mp4?expires=1&signature=2"),
    ("OPTIONS", "/postprocess/upscale"),
    ("HEAD", "/postprocess/models"),
    ("TRACE", "/jobs"),
    ("PATCH", "/jobs"),
]
HEADERS: dict[str, list[bytes]] = {
    "none": [],
    "empty": [b""],
    "wrong": [b"wrong"],
    "another case": [KEY.upper().encode()],
    "part of the key": [KEY[:-1].encode()],
    "longer than the key": [KEY.encode() + b"x"],
    "not ASCII": [
        "clé".encode(),
    ],
    "not even UTF-8": [b"\xff\xfe"],
    "fifty kilobytes": [b"x" * 50_000],
    "right and wrong": [KEY.encode(), b"wrong"],
    "wrong and right": [b"wrong", KEY.encode()],
    "right twice": [KEY.encode(), KEY.encode()],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server whose backend does nothing."""
    with server_in_thread(tmp_path_factory.mktemp("auth"), HeldBackend()) as client:
        yield client


def raw(client: Client, method: str, path: str, keys: list[bytes]) -> tuple[int, bytes, http.client.HTTPMessage]:
    """One request with exactly these ``X-API-Key`` headers."""
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
    try:
        connection.putrequest(method, path)
        for key in keys:
            connection.putheader("X-API-Key", key)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_without_a_key_is_401(client: Client, method: str, path: str) -> None:
    """Routes that do not exist answer the same."""
    answer = client.ask(method, path, headers={"X-API-Key": None}, allow_redirects=False)

    assert answer.status_code == 401
    if method != "HEAD":
        assert answer.json() == REFUSAL


@pytest.mark.parametrize("keys", HEADERS.values(), ids=HEADERS)
def test_wrong_missing_or_repeated_keys_get_the_same_401(client: Client, keys: list[bytes]) -> None:
    """The response does not say what is wrong with the header."""
    status, body, headers = raw(client, "GET", "/jobs", keys)

    assert status == 401
    assert body == raw(client, "GET", "/jobs", [])[1]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/health", "/ping", "/ready", "/health/"])
def test_health_routes_need_no_key(client: Client, path: str) -> None:
    """Monitoring needs no key."""
    assert client.get(path, headers={"X-API-Key": None}).status_code == 200


def test_a_request_with_the_key_reaches_its_route(client: Client) -> None:
    """An unknown route is 404; a wrong method is 405 with the allowed ones."""
    assert client.get("/jobs").status_code == 200
    assert client.get("/no/such/route").json() == {"detail": "Not Found.", "code": "not_found"}
    wrong = client.get("/postprocess/upscale")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "POST")


@pytest.mark.parametrize("path", ["/jobs", "/openapi.json", "/outputs/a.mp4"])
def test_a_bearer_token_is_refused_with_the_name_of_the_right_header(client: Client, path: str) -> None:
    """The key is right, but in the wrong header."""
    answer = client.get(path, headers={"X-API-Key": None, "Authorization": f"Bearer {KEY}"})

    assert answer.status_code == 401
    assert answer.json() == {
        "detail": "Send the API key in the X-API-Key header, not as Authorization: Bearer.",
        "code": "unauthorized",
    }
    both = client.get("/jobs", headers={"X-API-Key": "wrong", "Authorization": f"Bearer {KEY}"})
    assert (both.status_code, both.json()) == (401, REFUSAL)


@pytest.mark.parametrize("path", sorted(PASSWORD_PATHS))
def test_the_openapi_document_and_metrics_accept_the_key_as_a_basic_auth_password(client: Client, path: str) -> None:
    """Browsers ask for a user name and a password, and Prometheus sends them; any user name works."""
    closed = client.get(path, headers={"X-API-Key": None})
    assert closed.headers["www-authenticate"].startswith("Basic ")

    assert client.get(path, headers={"X-API-Key": None}, auth=("anybody", KEY)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic " + base64.b64encode(b"user:wrong").decode(),
        "Basic " + base64.b64encode(KEY.encode()).decode(),
        "Basic ???",
        "Basic",
    ],
)
def test_a_wrong_basic_auth_password_is_refused(client: Client, authorization: str) -> None:
    """This includes passwords that cannot be decoded."""
    answer = client.get("/openapi.json", headers={"X-API-Key": None, "Authorization": authorization})

    assert (answer.status_code, answer.json()) == (401, REFUSAL)


def test_basic_auth_is_refused_on_other_routes(client: Client) -> None:
    """Browsers resend a password automatically, so other sites could use it to call the API."""
    answer = client.get("/jobs", headers={"X-API-Key": None}, auth=("anybody", KEY))

    assert answer.status_code == 401


def test_websocket_upgrades_are_refused(client: Client) -> None:
    """They are refused like any request without a key."""
    upgrade = {
        "X-API-Key": None,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
    }
    answer = client.get("/jobs", headers=upgrade)

    assert (answer.status_code, answer.json()) == (401, REFUSAL)


def test_each_of_several_keys_is_accepted() -> None:
    """A removed key is refused."""
    keys = ApiKeys.of(["old", "new"])

    assert all(keys.caller([(b"x-api-key", key)]) for key in (b"old", b"new"))
    assert keys.caller([(b"x-api-key", b"older")]) is None


def test_the_id_of_a_key_does_not_depend_on_other_keys() -> None:
    """It is neither the key nor its digest."""
    ids = [ApiKeys.of(keys).caller([(b"x-api-key", b"new")]) for keys in (["new"], ["old", "new"])]

    assert ids[0] == ids[1]
    assert re.fullmatch("[0-9a-f]{16}", str(ids[0]))
    assert not hashlib.sha256(b"new").hexdigest().startswith(str(ids[0]))
    assert ApiKeys.of(["old"]).caller([(b"x-api-key", b"old")]) not in {None, ids[0]}


def test_an_empty_list_of_keys_raises() -> None:
    """Nobody could use such a server."""
    with pytest.raises(ValueError, match="at least one"):
        ApiKeys.of([])


def test_the_repr_of_api_keys_shows_no_key() -> None:
    """Only digests of keys are stored."""
    assert "secret-key" not in repr(ApiKeys.of(["secret-key"]))


@pytest.mark.parametrize("setting", ["old,new", " old , new ,"])
def test_keys_in_the_setting_are_separated_by_commas(tmp_path: Path, setting: str) -> None:
    """Spaces around them are ignored."""
    from framepack.settings import Settings

    keys = ApiKeys.of(key.get_secret_value() for key in Settings(api_keys=setting).api_keys)

    assert keys == ApiKeys.of(["old", "new"])


def test_a_server_without_keys_generates_one_and_logs_it(tmp_path: Path) -> None:
    """It is logged once, and only this key is accepted."""
    with RestServer(tmp_path, api_keys="") as server:
        shown = re.findall(r"fp_[\w-]{20,}", server.log)
        assert len(shown) == 1
        assert requests.get(f"{server.url}/jobs", headers={"X-API-Key": shown[0]}, timeout=30).status_code == 200
        assert requests.get(f"{server.url}/jobs", headers={"X-API-Key": ""}, timeout=30).status_code == 401
        assert requests.get(f"{server.url}/jobs", timeout=30).status_code == 401
