"""A job's store through an outage: nothing is lost, nothing doubled, nothing succeeds falsely, cancelling works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from framepack.errors import Cancelled, NotFound, StorageFailed, StorageUnavailable
from framepack.job import Job
from framepack.storage.base import Storage
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from framepack.storage.outputs import Outputs, ResultFolder
from framepack.storage.patience import Patience
from framepack.storage.patient import PatientStorage
from framepack.storage.s3.client import S3Tuning
from tests.support.s3_outage import FAULTS, Outage, error, lie, stalled
from tests.support.s3_proxy import Answer, Proxy, Request
from tests.support.s3_server import S3Server
from tests.support.storage_case import KEY, LARGE, MIB, NAME, OpenS3

TUNING = S3Tuning(
    patience=Patience(0.05, least_tries=2, first_pause_seconds=0.01, longest_pause_seconds=0.02),
    request_seconds=20,
    multipart_above_bytes=5 * MIB,
    part_bytes=5 * MIB,
    page_size=2,
    verify_attempts=2,
)
PATIENCE = Patience(60, first_pause_seconds=0.01, longest_pause_seconds=0.02)
REQUESTS = 8  # that fail: more than the store repeats by itself
OTHER = Key("postprocessed_output/frames/one/frame.png")


def put(storage: Storage) -> object:
    """A small object."""
    return storage.put_bytes(KEY, b"data").sha256


CALLS: dict[str, Callable[[Storage], object]] = {
    "put": put,
    "read": lambda storage: storage.read(OTHER),
    "stat": lambda storage: storage.stat(OTHER),
    "list": lambda storage: [str(found.key) for found in storage.list()],
    "folders": lambda storage: list(storage.folders(Key("postprocessed_output/frames"))),
    "delete": lambda storage: storage.delete(OTHER),
}


def fill(storage: Storage) -> None:
    """Put some objects into the bucket."""
    for name in ("one/frame.png", "two/frame.png", "three/frame.png"):
        storage.put_bytes(Key(f"postprocessed_output/frames/{name}"), b"frame")


def patient(open_s3: OpenS3, proxy: Proxy, job: Job | None = None, tuning: S3Tuning = TUNING) -> PatientStorage:
    """The bucket behind the proxy, as a job uses it."""
    return PatientStorage(open_s3(proxy.endpoint_url, tuning=tuning), job or Job(), PATIENCE)


def no_parts_left(server: S3Server, bucket: str) -> bool:
    """Whether no upload in parts is unfinished."""
    return not server.client.list_multipart_uploads(Bucket=bucket).get("Uploads")


def few(faults: Iterable[str], *quick: str) -> list[Any]:
    """The faults as parameters, those that are not quick only in the long run of tests."""
    return [fault if fault in quick else pytest.param(fault, marks=pytest.mark.slow) for fault in faults]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", few(FAULTS, "reset", "empty 200"))
def test_every_call_succeeds_after_an_outage(open_s3: OpenS3, proxy: Proxy, fault: str, call: str) -> None:
    """Whatever the store or a gateway says meanwhile, the outcome is that of a healthy store."""
    direct = open_s3()
    fill(direct)
    expected = CALLS[call](direct)
    if call == "delete":
        fill(direct)
    proxy.before = outage = Outage(FAULTS[fault], REQUESTS)
    waits: list[str | None] = []
    assert CALLS[call](patient(open_s3, proxy, Job(on_waiting=waits.append))) == expected
    assert outage.seen == REQUESTS
    assert waits.count("the store") == waits.count(None) >= 1
    assert waits[-1] is None


@pytest.mark.parametrize("fault", few([*FAULTS, "lie"], "lie", "503"))
def test_a_large_upload_survives_an_outage_at_any_of_its_requests(
    open_s3: OpenS3, proxy: Proxy, large: Path, server: S3Server, bucket: str, fault: str
) -> None:
    """Before it, between its parts and at its completion: one object, right to the byte, and no parts beside it."""
    trouble = lie if fault == "lie" else FAULTS[fault]
    direct, storage = open_s3(), patient(open_s3, proxy)
    for stage in (lambda _request: True, starts, is_part, completes):
        server.client.delete_object(Bucket=bucket, Key=NAME)
        outage = Outage(trouble, 6)
        proxy.before = lambda request, stage=stage, outage=outage: outage(request) if stage(request) else None  # type: ignore[misc]
        assert storage.put_file(KEY, large).size_bytes == len(LARGE)
        assert direct.read(KEY) == LARGE
        assert no_parts_left(server, bucket)
    assert [found["Key"] for found in server.client.list_objects_v2(Bucket=bucket)["Contents"]] == [NAME]


def starts(request: Request) -> bool:
    """Whether a request starts an upload in parts."""
    return request.starts_multipart


def is_part(request: Request) -> bool:
    """Whether a request sends a part."""
    return request.is_part


def completes(request: Request) -> bool:
    """Whether a request completes an upload in parts."""
    return request.completes_multipart


@pytest.mark.parametrize("stage", [starts, is_part, completes])
def test_lost_answers_leave_no_parts(
    open_s3: OpenS3, proxy: Proxy, large: Path, server: S3Server, bucket: str, stage: Callable[[Request], bool]
) -> None:
    """The store did what was asked, again and again, but nobody heard: what it holds twice is removed."""
    lost: list[Request] = []

    def lose(request: Request, _answer: Answer) -> bool:
        if stage(request) and len(lost) < 12:
            lost.append(request)
            return True
        return False

    proxy.after = lose
    patient(open_s3, proxy).put_file(KEY, large)
    assert lost
    assert open_s3().read(KEY) == LARGE
    assert no_parts_left(server, bucket)


def test_a_lying_store_is_asked_until_it_keeps_the_object(open_s3: OpenS3, proxy: Proxy) -> None:
    """An upload that was accepted and not kept is no success."""
    proxy.before = outage = Outage(lie, 12)
    patient(open_s3, proxy).put_bytes(KEY, b"data")
    assert outage.seen == 12
    assert open_s3().read(KEY) == b"data"


def test_truncated_downloads_are_repeated(open_s3: OpenS3, proxy: Proxy, tmp_path: Path) -> None:
    """Bytes that are cut off again and again make no file until they are complete."""
    open_s3().put_bytes(KEY, b"data" * 1000)
    cut: list[Request] = []

    def truncate(request: Request, answer: Answer) -> None:
        if request.method == "GET" and len(cut) < 12:
            cut.append(request)
            answer.hang_up_after = 2000

    proxy.after = truncate
    patient(open_s3, proxy).fetch(KEY, tmp_path / "copy")
    assert len(cut) == 12
    assert (tmp_path / "copy").read_bytes() == b"data" * 1000


@pytest.mark.parametrize("call", CALLS)
def test_a_stalled_store_is_given_up_at_the_deadline_and_asked_again(
    open_s3: OpenS3, proxy: Proxy, call: str
) -> None:
    """A request that nobody answers ends, and the next ones succeed."""
    fill(open_s3())
    tuning = S3Tuning(patience=Patience(0), request_seconds=0.4, page_size=2, verify_attempts=2)
    with stalled(proxy, 2) as outage:
        CALLS[call](patient(open_s3, proxy, tuning=tuning))
    assert outage.seen == 2


def test_a_store_that_stalls_for_good_is_reported(open_s3: OpenS3, proxy: Proxy) -> None:
    """One deadline for the call, whatever the timeouts of its socket are."""
    tuning = S3Tuning(patience=Patience(0), request_seconds=0.4, read_timeout_seconds=600)
    with stalled(proxy, 1000), pytest.raises(StorageUnavailable, match="did not answer the upload in time"):
        open_s3(proxy.endpoint_url, tuning=tuning).put_bytes(KEY, b"data")


def test_a_download_that_drips_is_given_up_at_the_deadline(open_s3: OpenS3, proxy: Proxy, tmp_path: Path) -> None:
    """Bytes that come too slowly count like none."""
    open_s3().put_bytes(KEY, b"d" * 1000)
    hold = threading.Event()

    def slow(request: Request, _answer: Answer) -> bool:
        if request.method == "GET":
            hold.wait(30)
        return False

    proxy.after = slow
    tuning = S3Tuning(patience=Patience(0), request_seconds=0.4, read_timeout_seconds=600)
    with pytest.raises(StorageUnavailable):
        open_s3(proxy.endpoint_url, tuning=tuning).fetch(KEY, tmp_path / "copy")
    hold.set()
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("code", "name"), [(403, "SignatureDoesNotMatch"), (403, "AccessDenied"), (404, "NoSuchBucket"), (507, "Full")]
)
def test_a_refusal_is_final(open_s3: OpenS3, proxy: Proxy, code: int, name: str) -> None:
    """The sentence comes at once, after one request."""
    proxy.before = error(code, name)
    with pytest.raises(StorageFailed, match=name) as failure:
        patient(open_s3, proxy).put_bytes(KEY, b"data")
    assert not isinstance(failure.value, StorageUnavailable)
    assert len(proxy.seen) == 1


def test_many_outages_leave_the_client_as_patient_as_it_was(open_s3: OpenS3, proxy: Proxy) -> None:
    """After hundreds of failures a single broken connection is still repeated."""
    storage = open_s3(proxy.endpoint_url, tuning=TUNING)
    proxy.before = lambda _request: True
    for _ in range(40):
        with pytest.raises(StorageUnavailable):
            storage.stat(KEY)
    proxy.before = Outage(lambda _request: True, 1)
    assert storage.stat(KEY) is None


@pytest.mark.parametrize("fault", ["503", "stall"])
@pytest.mark.parametrize("size", [100, len(LARGE)])
def test_cancelling_ends_an_upload_that_waits_for_the_store(
    open_s3: OpenS3, proxy: Proxy, tmp_path: Path, fault: str, size: int
) -> None:
    """The job ends although the store does not answer, and nothing of its result is in the store afterwards."""
    source = tmp_path / "video.mp4"
    source.write_bytes(LARGE[:size])
    job, waits = Job(), threading.Event()
    ended: list[Cancelled] = []

    def work() -> None:
        try:
            Outputs(storage, 0).publish(source, folder=ResultFolder.TEMP_PROCESSING, stem="a", suffix="b")
        except Cancelled as error:
            ended.append(error)

    with stalled(proxy, 10_000 if fault == "stall" else 0):
        if fault != "stall":
            proxy.before = FAULTS[fault]
        tuning = S3Tuning(request_seconds=0.5, slowest_bytes_per_second=10**9, patience=Patience(0))
        job.on_waiting = lambda _what: waits.set()
        storage = patient(open_s3, proxy, job, tuning)
        thread = threading.Thread(target=work)
        thread.start()
        is_waiting = waits.wait(30)
        started = time.monotonic()
        job.cancel()
        thread.join(30)
        assert is_waiting
        assert ended, "the job was not stopped"
        assert time.monotonic() - started < 10  # two brief tries to clean up, on a busy machine
    proxy.before = lambda _request: None
    assert list(open_s3().list()) == []


def test_a_cancelled_job_still_cleans_up(open_s3: OpenS3, proxy: Proxy) -> None:
    """The store of a cancelled job can be tidied."""
    open_s3().put_bytes(KEY, b"data")
    job = Job()
    storage = patient(open_s3, proxy, job)
    assert storage.stat(KEY) is not None
    job.cancel()
    assert storage.delete(KEY) is True
    assert open_s3().stat(KEY) is None


def test_a_listing_goes_on_where_it_broke(open_s3: OpenS3, proxy: Proxy) -> None:
    """No object is missing or listed twice when a later page fails."""
    direct = open_s3()
    for number in range(9):
        direct.put_bytes(Key(f"a/{number}"), b"")
    storage = patient(open_s3, proxy)
    names = []
    for found in storage.list():
        names.append(found.key.name)
        if len(names) in {3, 5}:
            proxy.before = Outage(lambda _request: True, 9)
    assert names == [str(number) for number in range(9)]


def test_a_folder_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale handle of a network volume is no final failure; a missing object still is none of it."""
    storage = LocalStorage(tmp_path / "store")
    storage.put_bytes(KEY, b"data")
    failures = iter([116, 5, 107])  # ESTALE, EIO, ENOTCONN
    opened: Any = LocalStorage._open

    def away(self: LocalStorage, key: Key) -> object:
        if number := next(failures, None):
            raise OSError(number, "away")
        return opened(self, key)

    monkeypatch.setattr(LocalStorage, "_open", away)
    patient_storage = PatientStorage(storage, Job(), PATIENCE)
    assert patient_storage.read(KEY) == b"data"
    with pytest.raises(NotFound):
        patient_storage.read(Key("a/missing"))
