"""Fetching weights: once, whole and as published, or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from framepack.errors import Cancelled, DiskFull, ModelUnavailable
from framepack.models.weights.store import WeightsStore, fetch_all
from framepack.settings import Settings
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.networks import tiny_compact
from tests.support.weights import checkpoint, fetch_never, fetch_plainly, published, upscaler_row

CONTENT = checkpoint(tiny_compact())
ROOT = Path(__file__).parents[3]

CHILD = """
    import sys
    from pathlib import Path
    from framepack.models.spec import Weights
    from framepack.models.weights.store import WeightsStore
    from framepack.settings import Settings

    folder, url, size_bytes, sha256 = sys.argv[1:]
    store = WeightsStore.from_settings(Settings(weights_dir=Path(folder), allowed_hosts=("127.0.0.1",)))
    print("asking", flush=True)
    print(store.fetch(Weights("tiny.pth", url, int(size_bytes), sha256, "MIT")).name, flush=True)
"""


def store(folder: Path) -> WeightsStore:
    """A store that may fetch."""
    return WeightsStore(folder, allow_download=True, download=fetch_plainly)


def files(folder: Path) -> list[str]:
    """What is in the folder, lock files aside."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def in_turn(*answers: Answer) -> Callable[[Received], Answer]:
    """Give these answers, one after the other."""
    remaining = list(answers)
    return lambda _received: remaining.pop(0)


@contextmanager
def child(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that fetches the file, and has said that it is about to ask."""
    weights = published(CONTENT)
    arguments = [str(folder), url, str(weights.size_bytes), weights.sha256]
    command = [sys.executable, "-c", textwrap.dedent(CHILD), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
        yield process


def cut_short() -> Answer:
    """Half the file, then the connection ends."""
    return Answer(body=CONTENT[: len(CONTENT) // 2], headers={"Content-Length": str(len(CONTENT))})


def test_a_fetched_file_is_not_fetched_again(tmp_path: Path) -> None:
    """The file is fetched once, lies whole in the folder, and nothing else is left behind."""
    with HttpServer({"/tiny.pth": Answer(body=CONTENT)}) as server:
        weights = published(CONTENT, url=f"{server.url}/tiny.pth")
        for _ in range(2):
            assert store(tmp_path).fetch(weights).read_bytes() == CONTENT
        assert len(server.requests) == 1
    assert files(tmp_path) == ["tiny.pth"]


def test_the_real_downloader_fetches_a_file(tmp_path: Path) -> None:
    """A worker's own store fetches through the address guard."""
    with HttpServer({"/tiny.pth": Answer(body=CONTENT)}) as server:
        weights = published(CONTENT, url=f"{server.url}/tiny.pth")
        with pytest.raises(ModelUnavailable):
            WeightsStore.from_settings(Settings(weights_dir=tmp_path)).fetch(weights)
        assert server.requests == []
        settings = Settings(weights_dir=tmp_path, allowed_hosts=("127.0.0.1",))
        assert WeightsStore.from_settings(settings).fetch(weights).read_bytes() == CONTENT
        assert len(server.requests) == 1


@pytest.mark.parametrize("bad", [Answer(body=CONTENT[:-1] + b"!"), cut_short(), Answer(503)])
def test_a_failed_download_is_retried(tmp_path: Path, bad: Answer) -> None:
    """After one wrong, cut or refused answer the file is asked for once more."""
    with HttpServer(in_turn(bad, Answer(body=CONTENT))) as server:
        weights = published(CONTENT, url=f"{server.url}/tiny.pth")
        assert store(tmp_path).fetch(weights).read_bytes() == CONTENT
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "bad", [Answer(body=CONTENT[:-1] + b"!"), Answer(body=CONTENT * 2), cut_short(), Answer(404), Answer(body=b"")]
)
def test_a_failed_download_leaves_no_file(tmp_path: Path, bad: Answer) -> None:
    """Two wrong, cut or refused answers leave no file, and one sentence that says what to do."""
    with HttpServer({"/tiny.pth": bad}) as server:
        weights = published(CONTENT, url=f"{server.url}/tiny.pth")
        with pytest.raises(ModelUnavailable) as refusal:
            store(tmp_path).state_dict(weights)
        assert len(server.requests) == 2
    assert str(refusal.value) == (
        "The weights file tiny.pth could not be fetched: put the published file into the weights folder,"
        " or run `python -m framepack weights fetch` where it can be reached."
    )
    assert files(tmp_path) == []


@pytest.mark.parametrize("official", [Answer(404), Answer(body=CONTENT[:-1] + b"!"), cut_short()])
def test_a_mirror_is_used_when_the_official_url_fails(tmp_path: Path, official: Answer) -> None:
    """What the official address does not have is asked of the mirrors, in order, before anything is asked twice."""
    with HttpServer({"/official": official, "/mirror": Answer(body=CONTENT)}) as server:
        weights = published(CONTENT, url=f"{server.url}/official")
        mirrors = f"{server.url}/absent", f"{server.url}/mirror"
        store(tmp_path).fetch(replace(weights, mirrors=mirrors))
        assert [request.path for request in server.requests] == ["/official", "/absent", "/mirror"]
    assert files(tmp_path) == ["tiny.pth"]


def test_all_urls_failing_raises(tmp_path: Path) -> None:
    """An address where nobody listens is answered in the same way."""
    with HttpServer({}) as server:
        url = f"{server.url}/tiny.pth"
    with pytest.raises(ModelUnavailable, match="could not be fetched"):
        store(tmp_path).fetch(published(CONTENT, url=url))
    assert files(tmp_path) == []


def test_a_host_where_nothing_listens_has_few_tries(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a network, a job soon gets its sentence: one short pause for each host and round."""
    with HttpServer({}) as server:
        url = f"{server.url}/tiny.pth"
    fetching = WeightsStore.from_settings(Settings(weights_dir=tmp_path, allowed_hosts=("127.0.0.1",)))
    with caplog.at_level("INFO", "framepack"), pytest.raises(ModelUnavailable, match="could not be fetched"):
        fetching.fetch(published(CONTENT, url=url))
    assert caplog.text.count("is tried again in 0.8 seconds") == 2
    assert caplog.text.count("is tried again") == 2


def test_concurrent_processes_share_one_download(tmp_path: Path) -> None:
    """Eight threads with two stores and two other processes together cause one request."""
    everybody_asked = threading.Event()

    def hold(_received: Received) -> Answer:
        assert everybody_asked.wait(60)
        return Answer(body=CONTENT)

    with HttpServer(hold) as server:
        weights = published(CONTENT, url=f"{server.url}/tiny.pth")
        start = threading.Barrier(9)
        stores = [store(tmp_path), store(tmp_path)]

        def fetch(number: int) -> bytes:
            start.wait(60)
            return stores[number % 2].fetch(weights).read_bytes()

        with (
            ThreadPoolExecutor(8) as pool,
            child(tmp_path, server.url + "/tiny.pth") as first,
            child(tmp_path, server.url + "/tiny.pth") as second,
        ):
            fetched = [pool.submit(fetch, number) for number in range(8)]
            start.wait(60)
            everybody_asked.set()
            assert [one.result(60) for one in fetched] == [CONTENT] * 8
            for process in (first, second):
                assert process.communicate(timeout=60)[0] == "tiny.pth\n"
                assert process.returncode == 0
        assert len(server.requests) == 1
    assert files(tmp_path) == ["tiny.pth"]


def test_a_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    """A process killed in the middle of fetching leaves nothing that stops or misleads the next one."""
    go_on, part = threading.Event(), tmp_path / ".tiny.pth.part"

    def stall() -> Iterator[bytes]:
        yield CONTENT[: len(CONTENT) // 2]
        go_on.wait(60)

    first = Answer(body=stall(), headers={"Content-Length": str(len(CONTENT))})
    with HttpServer(in_turn(first, Answer(body=CONTENT))) as server:
        url = f"{server.url}/tiny.pth"
        with child(tmp_path, url) as process:
            deadline = time.monotonic() + 60
            while not part.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            process.kill()
        go_on.set()
        assert files(tmp_path) == [part.name]
        assert store(tmp_path).fetch(published(CONTENT, url=url)).read_bytes() == CONTENT
    assert files(tmp_path) == ["tiny.pth"]


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (Cancelled("The job was cancelled."), Cancelled),
        (DiskFull("Full."), DiskFull),
        (OSError(errno.ENOSPC, "full"), DiskFull),
    ],
)
def test_permanent_errors_are_not_retried(tmp_path: Path, raised: Exception, seen: type[Exception]) -> None:
    """A cancelled job and a full disk end the fetch at once, and leave nothing behind."""
    calls: list[str] = []

    def download(url: str, to: Path, max_bytes: int) -> None:
        calls.append(url)
        to.write_bytes(b"half")
        raise raised

    with pytest.raises(seen):
        WeightsStore(tmp_path, allow_download=True, download=download).fetch(published(CONTENT, url="http://x/"))
    assert calls == ["http://x/"]
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    """Where no folder can be written, the answer is a sentence about the missing file."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="is missing and cannot be written to "):
        store(tmp_path / "file" / "weights").fetch(published(CONTENT, url="http://x/"))


def test_a_users_own_file_is_never_fetched(tmp_path: Path) -> None:
    """A file without an official address cannot be fetched."""
    own = WeightsStore(tmp_path, allow_download=True, download=fetch_never)
    with pytest.raises(ModelUnavailable, match=r"tiny\.pth is missing: put it back"):
        own.state_dict(published(CONTENT))


def test_fetch_all_continues_after_a_failure(tmp_path: Path) -> None:
    """Every file gets its line; one that fails does not stop the others, and the whole is a failure."""
    with HttpServer({"/tiny.pth": Answer(body=CONTENT)}) as server:
        good = published(CONTENT, "good.pth", f"{server.url}/tiny.pth")
        bad = published(CONTENT, "bad.pth", f"{server.url}/absent")
        rows = [upscaler_row(bad, good, name="pair")]
        lines: list[str] = []
        assert not fetch_all(rows, store(tmp_path), lines.append)
        host = server.url.removeprefix("http://")
        assert lines[0].startswith(f"[1/2] bad.pth (0.0 MB, MIT): failed: {host}: 404 ")
        assert lines[1:] == ["[2/2] good.pth (0.0 MB, MIT): fetched"]

        lines.clear()
        assert fetch_all([upscaler_row(good)], store(tmp_path), lines.append)
        assert lines == ["[1/1] good.pth (0.0 MB, MIT): already there"]
