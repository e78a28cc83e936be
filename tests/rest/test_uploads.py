"""Files can be handed over, named in any request, and are forgotten in time."""

from __future__ import annotations

import errno
import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from starlette.datastructures import UploadFile

from framepack.rest import bodies, uploads
from framepack.rest.bodies import Pace
from framepack.rest.uploads import UploadQuota
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from framepack.storage.uploads import UPLOADS, keep_upload, kept_uploads
from tests.support.rest_server import KEY, Client, HeldBackend, LocalServer, eventually, server_in_thread, upload

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server that takes files of up to 2 MB."""
    with server_in_thread(tmp_path_factory.mktemp("uploads"), HeldBackend(), max_source_mb=2) as client:
        yield client


def send(client: Client, body: bytes, content_type: str = "multipart/form-data; boundary=x") -> requests.Response:
    """POST these very bytes."""
    return client.ask("POST", "/uploads", headers={"Content-Type": content_type}, data=body)


def part(name: str = "file", filename: str | None = "a.mp4", content: bytes = b"abc") -> bytes:
    """One part of a form with the boundary x."""
    file = "" if filename is None else f'; filename="{filename}"'
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


def stored(client: LocalServer) -> list[Key]:
    """All uploads there are."""
    return [each.key for each in client.server.runtime.storage.list(UPLOADS)]


def leftovers(client: LocalServer) -> list[str]:
    """Working files that are still there."""
    temp = client.server.runtime.settings.temp_dir
    return [str(path) for path in temp.rglob("*") if path.is_file()]


def test_an_upload_is_answered_with_a_path_to_its_bytes(client: LocalServer) -> None:
    """No temporary file remains."""
    content = os.urandom(1_500_000)

    answer = upload(client, content, "My clip.MP4")

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["success"], body["filename"], body["size_bytes"]) == (True, "My clip.MP4", len(content))
    assert body["video_url"].startswith("/outputs/uploads/My clip_")
    assert client.get(body["video_url"]).content == content
    assert client.get(body["video_url"], headers={"X-API-Key": None}).status_code == 401
    assert leftovers(client) == []


BROKEN = {
    "nothing": b"",
    "no form": b"hello",
    "only an end": b"--x--\r\n",
    "cut off in the header": part()[:30],
    "another boundary": b"--y\r\n" + part()[5:] + b"--x--\r\n",
    "an empty file": part(content=b"") + b"--x--\r\n",
    "another field": part(name="video") + b"--x--\r\n",
    "a text": part(filename=None) + b"--x--\r\n",
    "two files": part() + part() + b"--x--\r\n",
    "a file and a text": part() + part(name="model", filename=None) + b"--x--\r\n",
    "no name": b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n",
    "a header of a megabyte": b"--x\r\nX-Large: " + b"x" * MEGABYTE + b"\r\n" + part()[5:] + b"--x--\r\n",
    "nine headers": b"--x\r\n" + b"X-Many: 1\r\n" * 9 + part()[5:] + b"--x--\r\n",
    "no disposition": b"--x\r\n\r\nabc\r\n--x--\r\n",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_broken_forms_are_refused(client: LocalServer, body: bytes) -> None:
    """A form must have exactly one file. Nothing is stored otherwise."""
    before = stored(client)

    answer = send(client, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_source"), answer.text
    assert "'file'" in answer.json()["detail"]
    assert stored(client) == before


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "application/json",
        "video/mp4",
        "multipart/mixed; boundary=x",
    ],
)
def test_bodies_other_than_forms_are_refused(client: LocalServer, content_type: str) -> None:
    """Only multipart forms are accepted."""
    assert send(client, part() + b"--x--\r\n", content_type).status_code == 400


@pytest.mark.parametrize(
    ("name", "understood"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\evil.mp4", "evil.mp4"),
        ("a/b/c.mp4", "c.mp4"),
        ("C:\\clips\\c.mp4", "c.mp4"),
        (".htaccess", "htaccess"),
        ("...", "video"),
        ("", None),
        ("ünï©ødé 🎬.mp4", "uni_de.mp4"),
        ("x" * 300 + ".mp4", None),
        ("a\x00b.mp4", None),
        ("CON.mp4", "CON.mp4"),
        ("state.json", "state.json"),
    ],
)
def test_odd_file_names_are_stored_under_safe_names(client: LocalServer, name: str, understood: str | None) -> None:
    """They are always stored directly in the folder of uploads."""
    escaped = name.replace("\\", "\\\\")
    answer = send(client, part(filename=escaped) + b"--x--\r\n")

    if answer.status_code == 400:
        assert understood is None
        return
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert understood in {None, body["filename"]}
    key = Key(body["video_url"].removeprefix("/outputs/"))
    assert len(key.segments) == 2
    assert client.server.runtime.storage.read(key) == b"abc"


def test_simultaneous_uploads_of_one_name_are_all_kept(client: LocalServer) -> None:
    """Twenty simultaneous uploads have the same name."""
    contents = [os.urandom(100_000) for _ in range(20)]

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda content: upload(client, content), contents))

    read = [client.get(answer.json()["video_url"]).content for answer in answers]
    assert read == contents
    assert leftovers(client) == []


def test_an_upload_with_a_declared_length_over_the_limit_is_refused_unread(client: LocalServer) -> None:
    """The response is sent before the body arrives."""
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
    connection.putrequest("POST", "/uploads")
    connection.putheader("X-API-Key", KEY)
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()

    assert connection.getresponse().status == 413
    connection.close()


def test_an_upload_over_the_limit_without_a_length_is_cut_off(client: LocalServer) -> None:
    """Nothing is stored."""
    before = stored(client)

    def pieces() -> Iterator[bytes]:
        yield part()[:-5]
        for _ in range(30):
            yield b"x" * MEGABYTE

    answer = client.ask(
        "POST", "/uploads", headers={"Content-Type": "multipart/form-data; boundary=x"}, data=pieces()
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert stored(client) == before
    assert leftovers(client) == []


def test_an_interrupted_upload_is_removed(client: LocalServer) -> None:
    """No object and no temporary file remains."""
    before = stored(client)
    for _ in range(5):
        connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
        connection.putrequest("POST", "/uploads")
        connection.putheader("X-API-Key", KEY)
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        connection.putheader("Content-Length", str(2 * MEGABYTE))
        connection.endheaders(part()[:-5] + b"x" * MEGABYTE)
        connection.close()

    assert upload(client, b"afterwards").status_code == 200
    assert len(stored(client)) == len(before) + 1
    assert leftovers(client) == []


def test_uploads_older_than_the_retention_are_removed(tmp_path: Path) -> None:
    """Newer uploads and results are kept."""
    source = tmp_path / "a.mp4"
    source.write_bytes(b"abc")
    storage = LocalStorage(tmp_path / "outputs")
    old, new = keep_upload(storage, source, "old.mp4"), keep_upload(storage, source, "new.mp4")
    result = Key("postprocessed_output/saved_videos/old.mp4")
    storage.put_bytes(result, b"abc")
    owned = keep_upload(storage, source, "owned.mp4", "owner")
    mark = Key(f"state/uploads/owner/{owned.name}")
    assert storage.stat(mark) is not None
    long_ago = time.time() - timedelta(hours=3).total_seconds()
    for key in (old, result, owned, mark):
        os.utime(tmp_path / "outputs" / key.text, (long_ago, long_ago))

    with server_in_thread(tmp_path, HeldBackend(), job_retention_hours=2):
        assert eventually(lambda: not any(map(storage.stat, (old, owned, mark))))

    assert storage.stat(new) is not None
    assert storage.stat(result) is not None


def test_uploads_over_the_number_per_key_are_refused(tmp_path: Path) -> None:
    """One more is refused in a sentence that says what is allowed and what helps; deleting one does."""
    with server_in_thread(tmp_path, HeldBackend(), max_uploads=2) as client:
        first, _ = [upload(client, b"abc").json()["video_url"] for _ in range(2)]
        refused = upload(client, b"abc")
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert refused.json()["detail"] == (
            "An API key may keep 2 uploads with 20000 MB in all, and this one has 2 with 0.0 MB: "
            "DELETE the video_url of some, or wait until they are deleted 24 hours after the upload."
        )
        assert leftovers(client) == []
        assert client.delete(first).status_code == 200
        assert upload(client, b"abc").status_code == 200


def test_a_repeated_upload_gets_its_answer_although_the_quota_is_used_up(tmp_path: Path) -> None:
    """Whoever missed the answer needs no further space; another file under its key, or a new key, is refused."""

    def keyed(key: str, content: bytes) -> requests.Response:
        return server.ask("POST", "/uploads", headers={"Idempotency-Key": key}, files={"file": ("a.mp4", content)})

    with server_in_thread(tmp_path, HeldBackend(), max_uploads=1) as server:
        first = keyed("one", b"abc")
        again = keyed("one", b"abc")
        assert (again.status_code, again.json()) == (200, first.json())
        assert keyed("one", b"other").status_code == 400
        assert keyed("two", b"abc").status_code == 429
        assert len(stored(server)) == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_uploads_over_the_size_per_key_are_refused(tmp_path: Path, *, chunked: bool) -> None:
    """Announced or not, an upload that does not fit is refused, and nothing of it is kept; a smaller one is taken."""
    form = part(content=b"x" * MEGABYTE) + b"--x--\r\n"
    headers: dict[str, str | None] = {"Content-Type": "multipart/form-data; boundary=x"}
    with server_in_thread(tmp_path, HeldBackend(), max_uploads_mb=1.5) as client:
        assert send(client, form).status_code == 200
        refused = client.ask("POST", "/uploads", headers=headers, data=iter([form]) if chunked else form)
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert "1.5 MB in all" in refused.json()["detail"]
        assert leftovers(client) == []
        assert len(stored(client)) == 1
        assert upload(client, b"abc").status_code == 200


def test_each_key_has_its_own_quota(tmp_path: Path) -> None:
    """What one key keeps, in this server or in another with the same store, is not counted against another key."""
    storage = LocalStorage(tmp_path / "outputs")
    source = tmp_path / "a.mp4"
    source.write_bytes(b"abc")
    for _ in range(3):
        keep_upload(storage, source, "a.mp4", "another owner")
    with server_in_thread(tmp_path, HeldBackend(), max_uploads=1) as client:
        assert upload(client, b"abc").status_code == 200
    with server_in_thread(tmp_path, HeldBackend(), max_uploads=1) as client:
        assert upload(client, b"abc").status_code == 429
    assert kept_uploads(storage, "another owner").count == 3


def begun(client: Client, *, length: int = MEGABYTE) -> http.client.HTTPConnection:
    """An upload that has sent the start of its form only."""
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
    connection.putrequest("POST", "/uploads")
    connection.putheader("X-API-Key", KEY)
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(part()[:-5])
    return connection


def test_a_stalled_upload_is_refused_after_the_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a deadline, which grows with what has arrived."""
    monkeypatch.setattr(uploads, "_PACE", Pace(0.2, 50_000))
    with server_in_thread(tmp_path, HeldBackend()) as client:
        connection = begun(client)
        answer = connection.getresponse()
        assert answer.status == 400
        sentence = "An upload must arrive at 50 kB per second or faster, after 0.2 seconds."
        assert json.loads(answer.read()) == {"detail": sentence, "code": "bad_request"}
        connection.close()
        assert leftovers(client) == []


def test_uploads_in_progress_are_limited_per_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones are refused until one has ended; those that break off give their place and their share back."""
    quotas: list[UploadQuota] = []

    def remembered(*arguments: Any, **named: Any) -> UploadQuota:
        quotas.append(UploadQuota(*arguments, **named))
        return quotas[-1]

    monkeypatch.setattr(uploads, "UploadQuota", remembered)
    monkeypatch.setattr(uploads, "_PACE", Pace(600))
    with server_in_thread(tmp_path, HeldBackend(), max_uploads_mb=20) as client:
        open_ones = [begun(client) for _ in range(16)]
        assert eventually(lambda: [len(each) for each in quotas[0].in_progress.values()] == [16])
        assert upload(client, b"abc").status_code == 429
        assert "16 uploads of an API key may arrive at a time" in upload(client, b"abc").json()["detail"]
        for each in open_ones:
            each.close()
        assert eventually(lambda: upload(client, b"x" * 15 * MEGABYTE).status_code == 200)


def test_an_upload_larger_than_the_free_disk_space_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is sent, or as soon as the disk is full; either way without a log line about an unexpected error."""
    with server_in_thread(tmp_path, HeldBackend()) as client:
        monkeypatch.setattr(bodies, "free_bytes", lambda _folder: 1000)
        connection = begun(client)
        early = connection.getresponse()
        assert (early.status, json.loads(early.read())["code"]) == (507, "disk_full")
        connection.close()

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(UploadFile, "write", fail)
        late = upload(client, b"abc")
        assert (late.status_code, late.json()["code"]) == (507, "disk_full")
        assert leftovers(client) == []
