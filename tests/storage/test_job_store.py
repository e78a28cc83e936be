"""A client's own store: reached only at the address that was judged, and tried before any work."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from framepack.errors import FramepackError, InvalidField, SourceNotAllowed, StorageFailed, StorageUnavailable
from framepack.net.addresses import Policy
from framepack.settings import Settings
from framepack.storage.open import open_job_storage
from framepack.storage.patience import Patience
from framepack.storage.s3.client import S3Credentials, S3Tuning
from framepack.storage.s3.job_store import try_job_store
from framepack.storage.s3.location import s3_location
from framepack.storage.s3.storage import S3Storage
from tests.support.canary import Canary, Names
from tests.support.certificates import Authority
from tests.support.http_server import Answer as HttpAnswer
from tests.support.http_server import HttpServer
from tests.support.s3_outage import FAULTS
from tests.support.s3_proxy import Answer, Proxy, Request
from tests.support.s3_server import S3Server
from tests.support.storage_case import KEY, LARGE, MIB

PUBLIC = "93.184.216.34"
TUNING = S3Tuning(
    patience=Patience(0.1, least_tries=3, first_pause_seconds=0.01),
    multipart_above_bytes=5 * MIB,
    part_bytes=5 * MIB,
    verify_attempts=2,
)
LOOPBACK = Policy(allowed_hosts=("127.0.0.1",))


def store(endpoint_url: str, policy: Policy, server: S3Server | None = None, bucket: str = "clips") -> S3Storage:
    """A job's store at an address."""
    keys = S3Credentials(*(("key", "secret") if server is None else (server.access_key, server.secret_key)))
    return S3Storage(replace(s3_location(bucket, endpoint_url), policy=policy), keys, tuning=TUNING)


def every_call(storage: S3Storage, file: Path) -> list[Callable[[], object]]:
    """Every method that talks to the store, small and in parts."""
    return [
        lambda: storage.put_bytes(KEY, b"data"),
        lambda: storage.put_file(KEY, file),
        lambda: storage.read(KEY),
        lambda: storage.fetch(KEY, file.with_suffix(".copy")),
        lambda: list(storage.list()),
        lambda: list(storage.folders(KEY)),
        lambda: storage.stat(KEY),
        lambda: storage.delete(KEY),
        storage.remove_partial_writes,
    ]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a connection goes to; the public one refuses."""
    addresses: list[str] = []

    class Socket(socket.socket):
        def connect(self, address: Any, /) -> None:
            addresses.append(address[0])
            if address[0] == PUBLIC:
                raise ConnectionRefusedError
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Socket)
    return addresses


@pytest.mark.parametrize("number", range(9))
def test_a_name_that_changes_its_address_leads_nowhere_else(tmp_path: Path, dialled: list[str], number: int) -> None:
    """Judged as public, then pointing to loopback: nothing connects there, whatever is asked of the store."""
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    names = Names({"store.example": [[PUBLIC], ["127.0.0.1"]]})
    with Canary() as canary:
        policy = Policy(resolve=names, ports=frozenset({canary.port}))
        call = every_call(store(f"http://store.example:{canary.port}", policy), file)[number]
        with pytest.raises(SourceNotAllowed):  # of the second lookup
            call()
        assert canary.connections == 0
    assert dialled == [PUBLIC]
    assert len(names.asked) == 2


@pytest.mark.parametrize("other", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_a_name_with_a_private_address_beside_a_public_one_is_refused(dialled: list[str], other: str) -> None:
    """One refusal for all, whatever there is behind the address; nothing is sent."""
    policy = Policy(resolve=Names({"store.example": [[PUBLIC, other]]}))
    with pytest.raises(SourceNotAllowed, match=r"^This URL is not allowed: use a public"):
        store("http://store.example", policy).stat(KEY)
    assert dialled == []


def test_an_address_that_refuses_and_one_that_does_not_exist_read_alike(dialled: list[str]) -> None:
    """The sentence is no means to look into a network."""
    sentences = set()
    unknown: list[list[str]] = [[]]
    for answers in ([[PUBLIC]], unknown):
        with pytest.raises(StorageUnavailable) as failure:
            store("http://store.example", Policy(resolve=Names({"store.example": answers}))).stat(KEY)
        sentences.add(failure.value.message)
    assert sentences == {"The object store did not answer the look-up."}


def test_proxies_of_the_environment_are_not_used(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes straight to the checked address."""
    with Canary() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        try_job_store(store(server.endpoint_url, LOOPBACK, server, bucket))
        assert proxy.connections == 0


def test_a_redirect_of_the_store_is_not_followed(proxy: Proxy, server: S3Server, bucket: str) -> None:
    """A store cannot send the worker elsewhere."""
    with Canary() as canary:
        elsewhere = f"http://127.0.0.1:{canary.port}/"
        for status in (301, 302, 307, 308):
            answer = Answer(status, {"Location": elsewhere, "x-amz-bucket-region": "eu-west-1"}, b"")
            proxy.before = lambda _request, answer=answer: Answer(answer.status, dict(answer.headers), b"")  # type: ignore[misc]
            with pytest.raises(FramepackError):
                store(proxy.endpoint_url, LOOPBACK, server, bucket).read(KEY)
        assert canary.connections == 0


@pytest.mark.parametrize("name", ["store.example", "other.example"])
def test_tls_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The certificate must be that of the endpoint's name, although the connection goes to an address."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    asked_for: list[str | None] = []
    context = authority.server(name)
    context.sni_callback = lambda _socket, asked, _context: asked_for.append(asked)
    policy = Policy(allowed_hosts=("127.0.0.0/8",), resolve=Names({"store.example": [["127.0.0.1"]]}))
    with HttpServer(
        {f"/clips/{quote(KEY.text)}": HttpAnswer(body=b"data", headers={"Last-Modified": formatdate(usegmt=True)})},
        tls=context,
    ) as https:
        storage = store(f"https://store.example:{https.port}", policy)
        if name == "store.example":
            assert storage.read(KEY) == b"data"
        else:
            with pytest.raises(StorageFailed, match="SSLError"):
                storage.read(KEY)
    assert set(asked_for) == {"store.example"}
    assert bool(https.requests) == (name == "store.example")


def test_a_store_that_works_is_left_as_it_was(server: S3Server, bucket: str) -> None:
    """Nothing of the trial stays."""
    try_job_store(store(server.endpoint_url, LOOPBACK, server, bucket))
    assert "Contents" not in server.client.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accessSecret": "wrong"}, "SignatureDoesNotMatch.*check accessSecret"),
        ({"accessId": "nobody"}, "check access"),
        ({"bucketName": "no-such-bucket"}, "NoSuchBucket.*check bucketName"),
    ],
)
def test_what_is_wrong_is_named(server: S3Server, bucket: str, changes: dict[str, str], reason: str) -> None:
    """The sentence names the field to correct, and no secret."""
    config = {
        "accessId": server.access_key,
        "accessSecret": server.secret_key,
        "bucketName": bucket,
        "endpointUrl": server.endpoint_url,
    } | changes
    with pytest.raises(InvalidField, match=rf"^The store of s3Config cannot be used: .*{reason}.*\.$") as refusal:
        try_job_store(open_job_storage(Settings(), config, LOOPBACK))
    assert server.secret_key not in refusal.value.message
    assert refusal.value.message.count(". ") == 0


@pytest.mark.parametrize("fault", ["reset", "page 200", "empty 200", "502 without S3"])
def test_something_that_is_no_store_is_a_wrong_endpoint(
    proxy: Proxy, server: S3Server, bucket: str, fault: str
) -> None:
    """No answer, or one that is not S3, points to the endpoint."""
    proxy.before = FAULTS[fault]
    expected = StorageUnavailable if fault == "502 without S3" else InvalidField
    with pytest.raises(expected) as failure:
        try_job_store(store(proxy.endpoint_url, LOOPBACK, server, bucket))
    if expected is InvalidField:
        assert failure.value.message.endswith("; check endpointUrl.")


def test_a_store_that_is_busy_is_not_the_clients_mistake(proxy: Proxy, server: S3Server, bucket: str) -> None:
    """A store's own trouble is 503, so that the client tries again."""
    proxy.before = FAULTS["503"]
    with pytest.raises(StorageUnavailable, match="SlowDown"):
        try_job_store(store(proxy.endpoint_url, LOOPBACK, server, bucket))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_key_that_may_not_read_or_delete_is_refused(
    proxy: Proxy, server: S3Server, bucket: str, method: str
) -> None:
    """All that the job will need is tried."""

    def deny(request: Request) -> Answer | None:
        body = b"<Error><Code>AccessDenied</Code></Error>"
        return Answer(403, {"Content-Type": "application/xml"}, body) if request.method == method else None

    proxy.before = deny
    with pytest.raises(InvalidField, match=r"AccessDenied.*let this key put, get and delete"):
        try_job_store(store(proxy.endpoint_url, LOOPBACK, server, bucket))


def test_the_port_is_part_of_the_judgment() -> None:
    """Only the usual ports of public hosts."""
    config = {
        "accessId": "a",
        "accessSecret": "b",
        "bucketName": "clips",
        "endpointUrl": "http://store.example:6379",
    }
    with pytest.raises(SourceNotAllowed):
        open_job_storage(Settings(), config, Policy(resolve=Names({"store.example": [[PUBLIC]]})))
