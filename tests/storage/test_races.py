"""Several workers at one moment: everybody who was told "stored" was told the truth. On both stores."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from framepack.errors import StorageFailed
from framepack.files.removed import RemovedFiles
from framepack.storage import reservations
from framepack.storage.base import Storage
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from framepack.storage.outputs import Outputs, ResultFolder
from framepack.storage.reservations import RESERVED, reservation
from framepack.storage.s3.client import S3Tuning
from framepack.storage.s3.upload import abort_stale_uploads
from tests.support.s3_proxy import Answer, Proxy, Request
from tests.support.s3_server import S3Server
from tests.support.storage_case import KEY, MIB, NAME, OpenS3

WRITERS = 16


@pytest.fixture(params=["file", "s3", "s3 without MD5"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each store in turn, as patient as in production; the last hides the digests that others answer with."""
    if request.param == "file":
        return LocalStorage(tmp_path / "store")
    open_s3: OpenS3 = request.getfixturevalue("open_s3")
    if request.param == "s3":
        return open_s3(tuning=S3Tuning())
    proxy: Proxy = request.getfixturevalue("proxy")

    def hide(_request: Request, answer: Answer) -> None:
        answer.headers.pop("Etag", None)

    proxy.after = hide
    return open_s3(proxy.endpoint_url, tuning=S3Tuning())


def test_the_last_of_many_writers_wins_and_none_fails(shared: Storage) -> None:
    """Sixteen writers of one object, five times over: all are told that it is stored, and one of them is right."""
    start = threading.Barrier(WRITERS)

    def write(index: int) -> bytes:
        data = os.urandom(500 + 37 * index)
        start.wait()
        assert shared.put_bytes(KEY, data).size_bytes == len(data)
        return data

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(5):
            written = list(pool.map(write, range(WRITERS)))
            assert shared.read(KEY) in written


def test_concurrent_saves_under_one_name_keep_every_video(shared: Storage, tmp_path: Path) -> None:
    """Ten saves under one name at one moment are ten files; a later one gets a name of its own, too."""
    files = [tmp_path / f"{index}.mp4" for index in range(11)]
    for file in files:
        file.write_bytes(os.urandom(2000))
    start = threading.Barrier(10)
    outputs = Outputs(shared, 0)

    def save(file: Path) -> str:
        start.wait()
        return outputs.save(file, "film.mp4").filename

    with ThreadPoolExecutor(10) as pool:
        names = [*pool.map(save, files[:10]), outputs.save(files[10], "film.mp4").filename]

    assert len(set(names)) == 11
    assert names.count("film.mp4") <= 1
    folder = ResultFolder.SAVED_VIDEOS.key
    assert [shared.read(folder / name) for name in names] == [file.read_bytes() for file in files]
    assert len(list(shared.list())) == 11, "no mark is left"


def test_a_name_is_reserved_at_most_once(storage: Storage) -> None:
    """The name is free for the first, and for the second once the first is done; other names do not matter."""
    with reservation(storage, "film.mp4") as first, reservation(storage, "film.mp4") as second:
        assert (first, second) == (True, False)
        with reservation(storage, "other-film.mp4") as other:
            assert other
    with reservation(storage, "film.mp4") as later, reservation(storage, "a" * 255) as longest:
        assert later
        assert longest
    assert list(storage.list()) == []


def test_a_stale_reservation_expires_after_an_hour(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then its name is avoided; after that it is removed."""
    storage.put_bytes(RESERVED / f"{hashlib.sha256(b'film.mp4').hexdigest()}-{'0' * 32}", b"")
    with reservation(storage, "film.mp4") as free:
        assert not free
    monkeypatch.setattr(reservations, "STALE_AFTER", timedelta(seconds=-1))
    with reservation(storage, "film.mp4") as free:
        assert free
    assert list(storage.list()) == []


def test_the_reservation_of_a_dead_holder_does_not_count_for_those_who_ask(storage: Storage) -> None:
    """It counts for everybody else until it is stale."""
    storage.put_bytes(RESERVED / f"{hashlib.sha256(b'film.mp4').hexdigest()}-{'0' * 32}-server1", b"")
    with reservation(storage, "film.mp4", "server2", lambda holder: holder == "server1") as is_ours:
        assert is_ours
    with reservation(storage, "film.mp4", "server2", lambda holder: holder == "server3") as is_ours:
        assert not is_ours


def test_saving_wins_over_deleting_at_the_same_moment(
    open_s3: OpenS3, proxy: Proxy, server: S3Server, bucket: str
) -> None:
    """An object that somebody deletes while it is stored is stored again, once."""
    deleted: list[str] = []

    def delete_once(request: Request, _answer: Answer) -> None:
        if request.method == "PUT" and not deleted:
            deleted.append(NAME)
            server.client.delete_object(Bucket=bucket, Key=NAME)

    proxy.after = delete_once
    open_s3(proxy.endpoint_url).put_bytes(KEY, b"data")

    assert deleted
    assert open_s3().read(KEY) == b"data"


def test_a_store_that_is_consistent_late_is_asked_again(open_s3: OpenS3, proxy: Proxy) -> None:
    """One that at first shows another size under our digest is looked at again; one that always does has failed."""
    looks: list[str] = []

    def shorten_once(request: Request, answer: Answer) -> None:
        if request.method == "HEAD":
            looks.append(answer.headers["Content-Length"])
            if len(looks) == 1:
                answer.headers["Content-Length"] = "3"

    proxy.after = shorten_once
    assert open_s3(proxy.endpoint_url).put_bytes(KEY, b"data").size_bytes == 4
    assert len(looks) == 2


def test_saving_and_deleting_and_listing_together(shared: Storage) -> None:
    """None of them fails, and every object that is read is whole."""
    bodies = [bytes([index]) * 1000 * (index + 1) for index in range(4)]
    sizes = {len(body) for body in bodies}
    if not isinstance(shared, LocalStorage):
        sizes.add(0)  # rclone's server lists an object that it is just making

    def act(worker: int) -> None:
        for count in range(12):
            key = Key(f"state/things/{count % 3}.json")
            if worker < 2:
                shared.put_bytes(key, bodies[(worker + count) % 4])
            elif worker == 2:
                shared.delete(key)
            else:
                assert {found.size_bytes for found in shared.list(Key("state"))} <= sizes

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    assert {shared.read(found.key) for found in shared.list(Key("state"))} <= set(bodies)


def test_stale_multipart_uploads_are_aborted(open_s3: OpenS3, server: S3Server, bucket: str) -> None:
    """Those below our results and old enough; a running upload and those of others stay."""
    names = ("worker/one/postprocessed_output/a.mp4", "worker/one/other", "elsewhere/postprocessed_output/b")
    for name in names:
        upload = server.client.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
        server.client.upload_part(Bucket=bucket, Key=name, UploadId=upload, PartNumber=1, Body=bytes(5 * MIB))

    assert open_s3().remove_partial_writes() == RemovedFiles(), "none of them is a day old"
    prefix = "worker/one/postprocessed_output/"
    assert abort_stale_uploads(server.client, bucket, prefix, timedelta(seconds=-1)) == RemovedFiles(1, 5 * MIB)
    left = [upload["Key"] for upload in server.client.list_multipart_uploads(Bucket=bucket)["Uploads"]]
    assert sorted(left) == sorted(names[1:])
    assert open_s3(prefix="").remove_partial_writes() == RemovedFiles()


def test_removing_partial_writes_of_an_unreachable_store_fails(open_s3: OpenS3, proxy: Proxy) -> None:
    """A refusal to list uploads is passed over, a store that is not there is not."""
    assert open_s3().remove_partial_writes() == RemovedFiles()
    proxy.before = lambda _request: True
    with pytest.raises(StorageFailed):
        open_s3(proxy.endpoint_url).remove_partial_writes()
