"""The client does what the README's walk does with curl: upload, run, follow, download. In both ways."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from framepack.client import (
    ApiError,
    AsyncClient,
    Client,
    JobCancelled,
    JobFailed,
    ServerUnreachable,
    Source,
    Timing,
)
from framepack.filenames import clean_filename
from framepack.media.read.probe import probe
from tests.client.conftest import HASTY, pipe
from tests.support.control_plane import ROOT
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.rest_server import KEY, HeldBackend, LocalServer, RestServer, eventually, server_in_thread


def stored_uploads(server: RestServer) -> set[str]:
    """Names of the uploads in the store."""
    return {path.name for path in (server.outputs / "uploads").rglob("*.mp4")}


def test_the_client_uploads_runs_follows_and_downloads(
    client: Client, server: RestServer, clip: Path, tmp_path: Path
) -> None:
    """The result of one operation is the source of the next; files lie where they are asked for."""
    named = client.upload(clip, name="Größe 1 “x”.mp4")
    assert named.filename == clean_filename("Größe 1 “x”.mp4")
    client.delete(named)
    upload = client.upload(clip)
    assert (upload.filename, upload.size_bytes) == ("clip.mp4", clip.stat().st_size)

    job = client.submit.upscale(video=upload, model="RealESR_AnimeVideo_v3", scale_factor=2)
    views = list(job.follow())
    assert views[-1].state == "completed"
    assert {view.state for view in views[:-1]} <= {"queued", "running"}
    assert any(view.progress and view.progress.frames_total == 12 for view in views)
    result = job.result()
    written = result.download(tmp_path / "large.mp4")
    assert (probe(written).width, probe(written).frame_count) == (128, 12)

    steps = client.pipeline(video=result, operations=[{"type": "filters", "params": {"blur": 1}}, {"type": "loop"}])
    assert [step.type for step in steps.operations_completed] == ["filters", "loop"]
    kept = steps.download(tmp_path)
    assert (kept.name, probe(kept).frame_count) == (steps.output_filename, 24)
    assert client.analyze(video=steps).analysis.total_frames == 24

    client.delete(upload)
    assert upload.video_url.rpartition("/")[2] not in stored_uploads(server)


def test_the_client_for_asyncio_does_the_same(server: RestServer, clip: Path, tmp_path: Path) -> None:
    """Its operations can run at the same time."""

    async def walk() -> None:
        async with AsyncClient(server.url, KEY, timing=HASTY) as client:
            upload = await client.upload(clip)
            job = await client.submit.filters(video=upload, brightness=20)
            states = [view.state async for view in job.follow()]
            assert states[-1] == "completed"
            result = await job.result()
            assert probe(await result.download(tmp_path / "bright.mp4")).frame_count == 12
            loop, gif = await asyncio.gather(client.loop(video=result), client.export(video=result, format="GIF"))
            assert probe(await client.download(loop, tmp_path)).frame_count == 24
            assert gif.output_filename.endswith(".gif")
            assert (await client.job(job.id).result()).output_path == result.output_path
            assert job.id in {view.job_id for view in await client.jobs()}

    asyncio.run(walk())


def test_sources_are_paths_files_addresses_and_results(client: Client, server: RestServer, clip: Path) -> None:
    """What the client uploads for one operation, it deletes afterwards."""
    upload = client.upload(clip)
    before = stored_uploads(server)
    with clip.open("rb") as file, pipe(clip.read_bytes()) as stream:
        sources: list[Source] = [clip, str(clip), file, io.BytesIO(clip.read_bytes()), stream]
        sources += [upload, upload.video_url, str(upload.url)]
        found = [client.analyze(video=source).analysis.total_frames for source in sources]
    joined = client.join(videos=[clip, upload])
    batch = client.batch(videos=[clip, joined], operations=[{"type": "loop"}])

    assert found == [12] * len(sources)
    assert [client.analyze(video=each).analysis.total_frames for each in (joined, *batch.results)] == [24, 24, 48]
    assert stored_uploads(server) == before


def test_operations_without_a_job_are_answered_at_once(client: Client, clip: Path, tmp_path: Path) -> None:
    """Presets, frames and lists; fields in the path and in the query, names with a blank and a slash-like sign."""
    client.save_filter_preset(name="My look + more", settings={"brightness": 7})
    assert client.list_filter_presets().presets["My look + more"].brightness == 7
    client.delete_filter_preset(name="My look + more")
    assert "My look + more" not in client.list_filter_presets().presets

    folder = client.extract_frames(video=clip, extraction_rate=4).folder_name
    frames = client.list_frames(folder=folder, with_urls=True).frames
    assert len(frames) == 3
    image = client.get_frame(folder=folder, frame=frames[0].filename).download(tmp_path / "first.png")
    assert image.read_bytes().startswith(b"\x89PNG")
    assert client.download(frames[1], tmp_path).name == frames[1].filename
    assert client.download(str(frames[2].url), tmp_path / "third.png").read_bytes().startswith(b"\x89PNG")
    assert "RealESRGAN_x4plus" in client.list_models().models
    preview = client.preview(video=clip, operations=[{"type": "filters", "params": {"brightness": 50}}])
    assert (preview.before.mime_type, preview.after.width) == ("image/png", 64)
    assert "base64" not in repr(preview)


def test_errors_name_code_status_and_field(client: Client, server: RestServer, clip: Path) -> None:
    """The sentence is the server's own, of requests and of jobs."""
    with pytest.raises(ApiError, match="brightness must be between -100 and 100, not 500") as wrong:
        client.filters(video=clip, brightness=500)
    assert (wrong.value.code, wrong.value.status, wrong.value.field) == ("invalid_field", 400, "brightness")
    with pytest.raises(ApiError) as nested:
        client.pipeline(video=clip, operations=[{"type": "loop", "params": {"num_loops": 99}}])
    assert nested.value.field == "operations[0].params.num_loops"
    with pytest.raises(ApiError) as unknown:
        client.filters(video=clip, brighness=1)  # type: ignore[call-arg]
    assert (unknown.value.field, "did you mean 'brightness'" in str(unknown.value)) == ("brighness", True)
    with pytest.raises(JobFailed) as failed:
        client.loop(video="/outputs/uploads/nothing.mp4")
    assert (failed.value.code, failed.value.status, failed.value.field) == ("not_found", 404, None)
    assert client.job(failed.value.job_id).view().state == "failed"
    with pytest.raises(FileNotFoundError):
        client.loop(video="nothing.mp4")
    with Client(server.url, "wrong") as stranger, pytest.raises(ApiError) as refused:
        stranger.list_models()
    assert (refused.value.code, refused.value.status) == ("unauthorized", 401)


@pytest.fixture
def held(tmp_path: Path) -> LocalServer:  # type: ignore[misc]
    """A server whose jobs wait for what the test makes of them."""
    with server_in_thread(tmp_path, HeldBackend()) as running:
        yield running


def test_a_job_is_cancelled_once(held: LocalServer) -> None:
    """Its result is an exception; cancelling it again changes nothing."""
    with Client(held.url, KEY, timing=HASTY) as client:
        job = client.submit.loop(video="http://127.0.0.1/clip.mp4")
        assert eventually(lambda: job.view().state == "running")
        assert job.cancel().state == "cancelled"
        with pytest.raises(JobCancelled, match="cancelled") as raised:
            job.result()
        assert (raised.value.job_id, raised.value.code) == (job.id, "cancelled")
        assert job.cancel().state == "cancelled"


INTERRUPTED = """
import sys
from framepack.client import Client
Client(sys.argv[1], sys.argv[2]).loop(video="http://127.0.0.1/clip.mp4")
"""


def test_an_interrupted_program_cancels_its_job(held: LocalServer) -> None:
    """As the server does when a client that waits for a response closes the connection."""
    with Client(held.url, KEY, timing=HASTY) as client:
        program = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, held.url, KEY], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        assert eventually(lambda: any(view.state == "running" for view in client.jobs()))
        program.send_signal(signal.SIGINT)
        _, printed = program.communicate(timeout=30)

        assert "KeyboardInterrupt" in printed
        assert [view.state for view in client.jobs()] == ["cancelled"]


def test_a_cancelled_task_cancels_its_job(held: LocalServer) -> None:
    """Nobody waits for the result any more, so the server does not work on it."""

    async def give_up() -> None:
        async with AsyncClient(held.url, KEY, timing=HASTY) as client:
            waiting = asyncio.create_task(client.loop(video="http://127.0.0.1/clip.mp4"))
            while not any(view.state == "running" for view in await client.jobs()):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.02)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert [view.state for view in await client.jobs()] == ["cancelled"]

    asyncio.run(give_up())


class Held:
    """A proxy that holds the answer of the first request of a job until ``opened`` is set, or its client has left."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.accepted = threading.Event()
        self.opened = threading.Event()

    def __call__(self, received: Received) -> Answer:
        """Pass one request on."""
        names = ("X-API-Key", "Idempotency-Key", "Prefer", "Content-Type")
        headers = {name: received.headers[name] for name in names if name in received.headers}
        address = self.server.url + received.path
        answer = requests.request(received.method, address, data=received.body, headers=headers, timeout=60)
        if received.path == "/postprocess/loop" and not self.accepted.is_set():
            self.accepted.set()
            self.opened.wait(20)
        return Answer(answer.status_code, answer.content, {"Content-Type": answer.headers["Content-Type"]})


@pytest.mark.parametrize("method", ["loop", "submit.loop"])
def test_a_program_interrupted_while_its_job_is_accepted_leaves_nothing(
    held: LocalServer, clip: Path, method: str
) -> None:
    """The job runs, but the client does not know its id yet: the same request tells it. The upload is deleted."""
    code = INTERRUPTED.replace('"http://127.0.0.1/clip.mp4"', "sys.argv[3]")
    code = code.replace(").loop(", f").{method}(")
    with HttpServer(passing := Held(held)) as proxy, Client(held.url, KEY, timing=HASTY) as client:
        program = subprocess.Popen(
            [sys.executable, "-c", code, proxy.url, KEY, str(clip)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        assert passing.accepted.wait(30)
        program.send_signal(signal.SIGINT)
        _, printed = program.communicate(timeout=30)
        passing.opened.set()

        assert "KeyboardInterrupt" in printed
        assert [view.state for view in client.jobs() if view.operation == "loop"] == ["cancelled"]
        deleted = [each.path for each in proxy.requests if each.path.startswith("/outputs/uploads/")]
        assert len(deleted) == 1
        with pytest.raises(ApiError, match="does not exist"):
            client.delete(deleted[0])


def test_a_task_cancelled_while_its_job_is_accepted_leaves_nothing(held: LocalServer, clip: Path) -> None:
    """With a key of the user, a job that was only submitted goes on: the same request finds it."""

    async def give_up() -> list[str]:
        with HttpServer(passing := Held(held)) as proxy:
            async with AsyncClient(proxy.url, KEY, timing=HASTY) as client:
                work = client.submit.loop(video=clip, idempotency_key="4711") if keeps else client.loop(video=clip)
                waiting = asyncio.create_task(work)
                assert await asyncio.to_thread(passing.accepted.wait, 30)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                passing.opened.set()
                return [view.state for view in await client.jobs() if view.operation == "loop"]

    keeps = False
    assert asyncio.run(give_up()) == ["cancelled"]
    keeps = True
    assert sorted(asyncio.run(give_up())) in (["cancelled", "queued"], ["cancelled", "running"])


def test_sources_stay_while_a_job_may_need_them(held: LocalServer, clip: Path) -> None:
    """The job is accepted, and then the server is out of reach: nobody knows whether the job has ended."""
    passing = Held(held)

    def pass_on(received: Received) -> Answer:
        answer = passing(received)
        return Answer(raw=b"") if passing.accepted.is_set() else answer

    passing.opened.set()
    with HttpServer(pass_on) as proxy:
        client = Client(proxy.url, KEY, timing=Timing(patience=0))
        with pytest.raises(ServerUnreachable):
            client.loop(video=clip)
    assert {each.method for each in proxy.requests} == {"POST"}
    with Client(held.url, KEY, timing=HASTY) as client:
        assert eventually(lambda: any(view.state == "running" for view in client.jobs()))


def test_sources_of_a_job_that_is_refused_are_deleted(client: Client, server: RestServer, clip: Path) -> None:
    """Whether it is waited for or not."""
    before = stored_uploads(server)
    for loop in (client.loop, client.submit.loop):
        with pytest.raises(ApiError, match="num_loops must be"):
            loop(video=clip, num_loops=999)
    assert stored_uploads(server) == before
