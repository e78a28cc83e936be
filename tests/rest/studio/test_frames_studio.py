"""``<frames-studio>`` in a real browser, on a real server with a real clip."""

from __future__ import annotations

import io
import json
import mimetypes
from collections.abc import Iterator
from typing import Final

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect

from framepack.storage.frames.folders import folder_key
from tests.support.clips import AudioSpec, Spec, barred, bars_of, make_clip
from tests.support.control_plane import ROOT
from tests.support.readback import rgb_of
from tests.support.rest_server import KEY, Client, HeldBackend, LocalServer, RestServer, eventually, upload
from tests.support.studio import Tab, needs_browser, opened_tab
from tests.support.studio_walk import held_back

pytestmark = needs_browser

STUDIO: Final = ROOT / "framepack" / "rest" / "studio"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Frames</title>
<link rel="stylesheet" href="studio.css"><link rel="stylesheet" href="frames.css">
<link rel="stylesheet" href="form.css"><link rel="stylesheet" href="test.css">
<script type="module" src="test.js"></script>
</head>
<body><main><h1>Studio</h1><h2>Frames</h2><frames-studio></frames-studio></main></body>
</html>"""
STYLE: Final = "body { overflow: visible; height: auto; display: block } main { padding: 12px }"
SCRIPT: Final = """
import { Api } from "./api.js";
import "./frames.js";
const studio = document.querySelector("frames-studio");
window.events = [];
studio.addEventListener("result", (event) => window.events.push(event.detail.output_path));
studio.addEventListener("busy", (event) => window.events.push(event.detail));
const api = new Api(new URL("/", location.href));
api.key = %s;
studio.api = api;
studio.source = %s;
"""
WIDTH, HEIGHT, COUNT = 96, 64, 30


class Studio:
    """The element in a page of the test's, which has the policy and the address of the real one."""

    def __init__(self, tab: Tab, server: Client, source: dict[str, str] | None = None, key: str = KEY) -> None:
        self.page: Page = tab.page
        self.server = server
        self._files = {
            "index.html": PAGE,
            "test.css": STYLE,
            "test.js": SCRIPT % (json.dumps(key), json.dumps(source)),
        }
        self.page.route(f"{server.url}/test-studio/*", self._answer)
        self.page.goto(f"{server.url}/test-studio/index.html")

    def _answer(self, route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        path = STUDIO / name
        body = self._files.get(name) or (path.read_text() if path.is_file() else "")
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        route.fulfill(
            body=body, headers={"Content-Type": f"{kind}; charset=utf-8", "Content-Security-Policy": POLICY}
        )

    @property
    def frames(self) -> Locator:
        """The thumbnails in sight."""
        return self.page.get_by_role("option")

    def thumbnail(self, name: str) -> Locator:
        """The thumbnail of a frame."""
        return self.page.get_by_role("option", name=name)

    def press(self, *keys: str) -> None:
        """Press keys in the grid."""
        for key in keys:
            self.page.get_by_role("listbox").press(key)

    @property
    def selected(self) -> list[str]:
        """Names of the selected frames in sight."""
        return [
            str(each)
            for each in self.page.locator("[role=option][aria-selected=true]").evaluate_all(
                "all => all.map(each => each.title)"
            )
        ]

    def stored(self, folder: str) -> list[str]:
        """Names of the frames in the store."""
        return [each["filename"] for each in self.server.get(f"/frames/{folder}").json()["frames"]]


def png(size: tuple[int, int] = (WIDTH, HEIGHT), color: tuple[int, int, int] = (250, 10, 10)) -> bytes:
    """An image of one color."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


def picked(data: bytes, name: str = "edited.png") -> FilePayload:
    """A file as a file dialog gives it."""
    return {"name": name, "mimeType": "image/png", "buffer": data}


def name(number: int) -> str:
    """The name of an extracted frame."""
    return f"frame_{number:06d}.png"


@pytest.fixture(scope="module")
def source(studio_server: RestServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An uploaded clip of frames with readable numbers, and audio."""
    spec = Spec(size=(WIDTH, HEIGHT), count=COUNT, frame=barred, audio=AudioSpec(seconds=1.2, beeps=(0.5,)))
    clip = make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", spec)
    return {"url": upload(studio_server, clip.read_bytes()).json()["video_url"], "name": "clip.mp4"}


@pytest.fixture
def folder(studio_server: RestServer, source: dict[str, str]) -> Iterator[str]:
    """The folder of its frames, deleted afterwards."""
    made = studio_server.post("/frames/extract", {"video_url": source["url"]}).json()["folder_name"]
    yield made
    studio_server.delete(f"/frames/{made}")


def test_a_clip_is_extracted_edited_and_made_a_video_again(
    tab: Tab, studio_server: RestServer, source: dict[str, str]
) -> None:
    """As many thumbnails as frames; in the video, the deleted frame is gone and the replaced one is the new image."""
    studio = Studio(tab, studio_server, source)
    page = studio.page
    page.get_by_role("button", name="Extract frames").click()
    expect(studio.frames).to_have_count(COUNT)
    folder = page.locator(".frames-title").inner_text()
    assert folder.startswith("clip_")
    widths = page.locator("[role=option] img").evaluate_all(WIDTHS)
    assert widths == [WIDTH] * COUNT

    studio.thumbnail(name(5)).click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(studio.frames).to_have_count(COUNT - 1)
    studio.thumbnail(name(9)).click()
    page.locator("input[type=file]").set_input_files(picked(png()))
    expect(page.get_by_text("Replaced 1 frame.")).to_be_visible()
    shown = studio.thumbnail(name(9)).locator("img")
    assert shown.evaluate(RED_PIXEL) == [250, 10, 10]
    assert page.get_by_label("Frames per second").input_value() == "25"
    expect(page.get_by_label("With the clip's audio")).to_be_checked()
    page.get_by_label("Name").fill("edited")
    page.get_by_role("button", name="Make a video").click()
    expect(page.get_by_text("is ready")).to_be_visible()

    assert page.evaluate("events.filter(each => typeof each === 'boolean')")[-1] is False
    path = page.evaluate("events.find(each => typeof each === 'string')")
    with av.open(str(studio_server.outputs / path.removeprefix("/outputs/"))) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        pixels = [rgb_of(frame) for frame in container.decode(video=0)]
    expected = [number for number in range(COUNT) if number != 5]
    assert len(pixels) == len(expected)
    for number, frame in zip(expected, pixels, strict=True):
        if number == 9:
            assert np.abs(frame.reshape(-1, 3).mean(0) - (250, 10, 10)).max() < 12
        else:
            assert bars_of(frame) == number
    studio_server.delete(f"/frames/{folder}")


WIDTHS: Final = "all => Promise.all(all.map((each) => each.decode().then(() => each.naturalWidth)))"
RED_PIXEL: Final = """async (image) => {
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}"""


def test_deleted_frames_come_back_byte_for_byte(tab: Tab, studio_server: RestServer, folder: str) -> None:
    """By keyboard: a range is selected and deleted, and undone."""
    studio = Studio(tab, studio_server)
    place = studio_server.outputs / str(folder_key(folder))
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    studio.page.get_by_role("button", name=folder).click()
    expect(studio.frames).to_have_count(COUNT)
    studio.press("Home", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "Delete")
    expect(studio.page.get_by_text("Deleted 3 frames.")).to_be_visible()
    assert studio.stored(folder) == [name(number) for number in range(COUNT) if number not in (1, 2, 3)]

    studio.page.get_by_role("button", name="Undo").click()
    expect(studio.page.get_by_text("Put back 3 frames.")).to_be_visible()
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    expect(studio.page.get_by_role("button", name="Undo")).to_be_hidden()
    assert studio.selected == [name(1)]


def test_frames_deleted_in_a_folder_that_is_left_cannot_be_put_back_into_the_next_one(
    tab: Tab, studio_server: RestServer, source: dict[str, str], folder: str
) -> None:
    """The other folder shows nothing of it, neither what was done nor another image."""
    other = studio_server.post("/frames/extract", {"video_url": source["url"], "extraction_rate": 10}).json()
    studio = Studio(tab, studio_server)
    with held_back(studio.page, f"**/frames/{folder}/{name(5)}"):
        studio.page.get_by_role("button", name=folder).click()
        studio.thumbnail(name(5)).click()
        studio.press("Delete")
        expect(studio.page.get_by_role("listbox")).to_have_attribute("aria-busy", "true")
        studio.page.get_by_role("button", name=other["folder_name"]).click()
        expect(studio.frames).to_have_count(COUNT // 10)

    assert eventually(lambda: name(5) not in studio.stored(folder))
    expect(studio.page.get_by_role("listbox")).to_have_attribute("aria-busy", "false")
    expect(studio.page.get_by_role("button", name="Undo")).to_be_hidden()
    assert studio.page.locator(".frames-status").first.inner_text().strip() == ""
    expect(studio.frames).to_have_count(COUNT // 10)
    studio_server.delete(f"/frames/{other['folder_name']}")


def test_many_frames_are_deleted_only_after_a_question(tab: Tab, studio_server: RestServer, folder: str) -> None:
    """Too many to be kept in the page; "Keep" keeps all."""
    studio = Studio(tab, studio_server)
    studio.page.get_by_role("button", name=folder).click()
    expect(studio.frames).to_have_count(COUNT)
    studio.press("Control+a", "Delete")
    dialog = studio.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete 30 frames? This cannot be undone.")
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog).to_be_hidden()
    assert len(studio.stored(folder)) == COUNT

    studio.page.get_by_label("First frame").fill("1")
    studio.page.get_by_label("Last frame").fill("28")
    studio.page.get_by_role("button", name="Select").click()
    expect(studio.page.get_by_text("28 frames selected")).to_be_visible()
    studio.page.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("button", name="Delete").click()
    expect(studio.frames).to_have_count(2)
    assert studio.stored(folder) == [name(0), name(29)]


def test_frames_are_selected_as_in_a_file_manager(tab: Tab, studio_server: RestServer, folder: str) -> None:
    """With the mouse and with keys; the focused frame is announced."""
    studio = Studio(tab, studio_server)
    studio.page.get_by_role("button", name=folder).click()
    studio.thumbnail(name(2)).click()
    studio.thumbnail(name(4)).click(modifiers=["Shift"])
    assert studio.selected == [name(2), name(3), name(4)]
    studio.thumbnail(name(3)).click(modifiers=["Control"])
    studio.thumbnail(name(9)).click(modifiers=["Control"])
    assert studio.selected == [name(2), name(4), name(9)]
    studio.press("Escape")
    assert studio.selected == []
    studio.press("End", "Control+ArrowLeft", "Space")
    assert studio.selected == [name(28), name(29)]
    grid = studio.page.get_by_role("listbox")
    active = studio.page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']")
    assert active.get_attribute("title") == name(28)
    assert active.get_attribute("aria-label") == f"{name(28)}, frame 28 of the clip"
    studio.press("Enter")
    viewer = studio.page.get_by_role("dialog", name=name(28))
    expect(viewer).to_be_visible()
    studio.page.keyboard.press("ArrowLeft")
    expect(studio.page.get_by_role("dialog", name=name(27))).to_be_visible()
    studio.page.keyboard.press("Escape")
    assert studio.selected == [name(27)]


def test_errors_are_shown_where_they_belong(tab: Tab, studio_server: RestServer, folder: str) -> None:
    """At the field that the API names, at the frames, and at the folders."""
    studio = Studio(tab, studio_server)
    page = studio.page
    page.get_by_role("button", name=folder).click()
    expect(studio.frames).to_have_count(COUNT)
    rate = page.get_by_label("Frames per second")
    rate.fill("500")
    page.get_by_role("button", name="Make a video").click()
    expect(rate).to_have_accessible_description("output_fps must be between 1 and 120, not 500.")
    expect(rate).to_be_focused()
    assert rate.get_attribute("aria-invalid") == "true"

    studio.thumbnail(name(0)).click()
    page.locator("input[type=file]").set_input_files(picked(b"no image"))
    expect(page.get_by_role("alert").filter(has_text="The image is damaged or not a PNG")).to_be_visible()
    page.locator("input[type=file]").set_input_files([picked(png(), "1.png"), picked(png(), "2.png")])
    expect(page.get_by_role("alert").filter(has_text="there are 1 frame and 2 images")).to_be_visible()
    expect(studio.frames).to_have_count(COUNT)

    studio_server.delete(f"/frames/{folder}")
    page.get_by_role("button", name=folder).click()
    expect(page.get_by_role("alert").filter(has_text=f"Folder '{folder}' not found")).to_be_visible()


def test_an_image_that_is_dropped_on_a_frame_replaces_it(tab: Tab, studio_server: RestServer, folder: str) -> None:
    """Not the selected one; the other size is a warning."""
    studio = Studio(tab, studio_server)
    studio.page.get_by_role("button", name=folder).click()
    studio.thumbnail(name(1)).click()
    content = list(png((48, 32)))
    dropped = studio.page.evaluate_handle(DROPPED, content)
    studio.thumbnail(name(3)).dispatch_event("dragover", {"dataTransfer": dropped})
    studio.thumbnail(name(3)).dispatch_event("drop", {"dataTransfer": dropped})
    expect(
        studio.page.get_by_text("Replaced 1 frame. The image has 48 x 32 pixels, other frames 96 x 64")
    ).to_be_visible()
    place = studio_server.outputs / str(folder_key(folder))
    assert (place / name(3)).read_bytes() == bytes(content)
    assert (place / name(1)).read_bytes() != bytes(content)


DROPPED: Final = """(bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "other.png", { type: "image/png" }));
  return data;
}"""


def test_stop_cancels_the_job(tab: Tab, backend: HeldBackend, server: LocalServer) -> None:
    """Progress is shown before; afterwards the form is as it was."""
    studio = Studio(tab, server, {"url": "https://example.com/a.mp4", "name": "a.mp4"})
    page = studio.page
    page.get_by_role("button", name="Extract frames").click()
    assert eventually(lambda: backend.held)
    job_id, held = next(iter(backend.held.items()))
    held.progress(frames_done=7, frames_total=1200)
    expect(page.get_by_text("7 of 1,200 frames")).to_be_visible()
    expect(page.get_by_role("button", name="Extract frames")).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert").filter(has_text="cancelled")).to_be_visible()
    assert backend.cancelled == [job_id]
    expect(page.get_by_role("button", name="Extract frames")).to_be_enabled()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_a_wrong_key_is_one_sentence(tab: Tab, studio_server: RestServer) -> None:
    """In the place of the folders."""
    studio = Studio(tab, studio_server, key="wrong")
    expect(studio.page.get_by_role("alert").filter(has_text="key")).to_be_visible()


def test_thousands_of_frames_are_loaded_as_they_come_into_sight(tab: Tab, studio_server: RestServer) -> None:
    """The grid has elements and requests for what is shown, and reaches the last frame with one key."""
    data = png((16, 9))
    place = studio_server.outputs / str(folder_key("many"))
    place.mkdir(parents=True)
    for number in range(3000):
        (place / name(number)).write_bytes(data)
    studio = Studio(tab, studio_server)
    studio.page.get_by_role("button", name="many").click()
    expect(studio.page.get_by_text("3,000 frames.")).to_be_visible()
    assert 10 < studio.frames.count() < 150
    assert studio.thumbnail(name(7)).get_attribute("aria-setsize") == "3000"
    studio.press("End")
    expect(studio.thumbnail(name(2999))).to_be_in_viewport()
    assert (
        studio.thumbnail(name(2999)).locator("img").evaluate("each => each.decode().then(() => each.naturalWidth)")
        == 16
    )
    assert studio.frames.count() < 150
    images = [each for each in tab.requests if ".png" in each]
    assert len(images) < 300
    studio.page.get_by_role("button", name="Delete the folder").click()
    studio.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(studio.page.get_by_role("button", name="many")).to_be_hidden()
    assert not place.exists() or not list(place.iterdir())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_studio_is_accessible_and_fits_a_phone(
    browser: Browser, studio_server: RestServer, source: dict[str, str], folder: str, scheme: str
) -> None:
    """axe-core finds nothing, with a selection and with an open dialog; nothing is wider than 360 pixels."""
    with opened_tab(browser, 360, 740, color_scheme=scheme, has_touch=True) as tab:
        studio = Studio(tab, studio_server, source)
        studio.page.get_by_role("button", name=folder).tap()
        expect(studio.thumbnail(name(0))).to_be_visible()
        studio.thumbnail(name(1)).tap()
        studio.thumbnail(name(2)).tap()
        assert studio.selected == [name(1), name(2)]
        assert tab.accessibility_violations == ""
        assert studio.page.evaluate("document.documentElement.scrollWidth") <= 360
        studio.page.get_by_role("button", name="Delete the folder").tap()
        assert tab.accessibility_violations == ""
        studio.page.get_by_role("button", name="Keep").tap()
