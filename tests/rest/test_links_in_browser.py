"""A page of another origin uses signed links in a real browser, where no request has a key."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from framepack.storage.frames.folders import folder_key
from tests.support.clips import Spec, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.rest_server import HeldBackend, server_in_thread, upload
from tests.support.studio import Tab, needs_browser

PAGE = """<!doctype html><img id="frame"><video id="clip" muted></video><script type="module">
const note = (text) => document.body.append(`[${text}]`);
const events = new EventSource("%(events)s");
events.addEventListener("end", (event) => { events.close(); note("job " + JSON.parse(event.data).state); });
events.onerror = () => note("events failed");
const [frame, clip] = [document.getElementById("frame"), document.getElementById("clip")];
frame.onload = () => note(`frame ${frame.naturalWidth} x ${frame.naturalHeight}`);
frame.onerror = () => note("frame failed");
frame.src = "%(frame)s";
clip.onloadeddata = () => { clip.onseeked = () => note(`clip ${clip.videoWidth} at ${clip.currentTime}`); clip.currentTime = 0.5; };
clip.onerror = () => note("clip failed");
clip.src = "%(clip)s";
</script>"""  # noqa: E501


@needs_browser
def test_a_page_of_another_origin_shows_a_frame_and_an_upload_and_follows_a_job(tmp_path: Path, tab: Tab) -> None:
    """The upload can be sought in; VP8, because not every Chromium plays H.264."""
    video = make_clip(tmp_path / "clip.webm", Spec(codec="libvpx", size=(96, 64)))
    page: dict[str, Answer] = {}
    backend = HeldBackend()
    with (
        HttpServer(page) as other,
        server_in_thread(tmp_path, backend, HeldBackend(), cors_origins=other.url) as server,
    ):
        server.server.runtime.storage.put_bytes(folder_key("clip") / "frame.png", png(48, 32))
        accepted = server.post(
            "/postprocess/loop", {"video_base64": "AAAA"}, headers={"Prefer": "respond-async"}
        ).json()
        backend.wait_for(accepted["job_id"]).finish(success=True)
        links = {
            "events": server.url + accepted["events_url"],
            "frame": server.get("/frames/clip?with_urls=true").json()["frames"][0]["url"],
            "clip": upload(server, video.read_bytes(), "clip.webm").json()["url"],
        }
        page["/"] = Answer(200, (PAGE % links).encode(), {"Content-Type": "text/html"})

        tab.page.goto(f"{other.url}/")

        for note in ("job completed", "frame 48 x 32", "clip 96 at 0.5"):
            tab.page.get_by_text(f"[{note}]").wait_for()
        assert "failed]" not in tab.page.inner_text("body")


def png(width: int, height: int) -> bytes:
    """A gray image."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 90, 90)).save(file, "PNG")
    return file.getvalue()
