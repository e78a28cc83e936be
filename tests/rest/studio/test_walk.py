"""The way through the studio on a real server: key, clip, preview, run, result; and what may go wrong on it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.clips import Spec, make_clip
from tests.support.rest_server import KEY, Client, RestServer
from tests.support.studio import Tab, needs_browser, opened_tab
from tests.support.studio_walk import Studio

pytestmark = needs_browser

LOADED = "[...document.querySelectorAll('#result video')].filter((each) => each.readyState >= 2).length === 2"
PERCENTS = """
window.percents = new Set();
new MutationObserver(() => {
  const bar = document.querySelector(".run-card progress");
  if (bar?.hasAttribute("value")) window.percents.add(bar.value);
}).observe(document.querySelector(".run-card"), {subtree: true, attributes: true, childList: true});
"""


@pytest.fixture
def studio(tab: Tab, studio_server: RestServer) -> Studio:
    """The page."""
    return Studio(tab, studio_server)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(size=(96, 64)))


def test_the_sample_clip_is_finished_and_compared(studio: Studio) -> None:
    """Progress moves on the way; the result is used as the next clip; nothing is fetched from elsewhere or twice."""
    studio.open()
    studio.page.click("text=Use the sample clip")
    expect(studio.page.locator(".clip .facts li").first).to_have_text("256 \u00d7 144")
    studio.operation("upscale")
    studio.select("model", "tiny")
    expect(studio.page.locator(".preview .status")).to_contain_text("Frame 0 at 0 s, computed in")
    expect(studio.page.locator(".preview")).to_contain_text(
        "The whole clip becomes 1024 \u00d7 576, 25 fps, 1 s, mp4."
    )
    studio.page.evaluate(PERCENTS)
    studio.run()

    expect(studio.page.locator("#result-part")).to_be_visible(timeout=60_000)
    studio.tab.wait_until(LOADED)
    sizes = studio.page.evaluate(
        "[...document.querySelectorAll('#result video')].map((each) => [each.videoWidth, each.videoHeight])"
    )
    assert sizes == [[256, 144], [1024, 576]]
    assert len(studio.page.evaluate("[...window.percents]")) >= 2
    assert not [each for each in studio.tab.requests if "/outputs/uploads/" in each]

    studio.page.locator("#result").get_by_role("button", name=re.compile("continue", re.IGNORECASE)).click()
    expect(studio.page.locator(".clip .facts li").first).to_have_text("1024 \u00d7 576")
    assert urlsplit(studio.page.url).fragment == ""


def test_frames_of_a_clip_are_extracted_looked_at_and_made_a_video_again(studio: Studio, clip: Path) -> None:
    """The video is the result on the page."""
    studio.open()
    studio.choose(clip)
    studio.operation("extract_frames")
    studio.run()
    studio.page.get_by_role("button", name="Open in the frames studio").click()
    extracted = studio.page.url
    expect(studio.page.locator("#frames-tab")).to_have_attribute("aria-current", "true")
    expect(studio.page.locator("frames-studio")).to_contain_text("25 frames of clip")
    studio.page.get_by_role("button", name="Make a video").click()

    expect(studio.page.locator("#result-part")).to_be_visible(timeout=60_000)
    studio.tab.wait_until("document.querySelector('#result video')?.videoWidth === 96")
    assert studio.page.url != extracted
    studio.page.reload()
    studio.tab.wait_until("document.querySelector('#result video')?.videoWidth === 96")


def test_behind_a_path_prefix_nothing_is_asked_for_outside_of_it(studio: Studio) -> None:
    """Also links in answers of the server, which does not know of the prefix."""
    server = studio.server.url

    def forward(route: Route) -> None:
        route.continue_(url=route.request.url.replace("/a/prefix/", "/"))

    studio.page.route(f"{server}/a/prefix/**", forward)
    studio.server = Client(f"{server}/a/prefix")
    studio.open()
    studio.page.click("text=Use the sample clip")
    expect(studio.page.locator(".clip .facts li").first).to_be_visible()
    studio.operation("loop")
    studio.run()
    expect(studio.page.locator("#result-part")).to_be_visible(timeout=60_000)
    studio.tab.wait_until(LOADED)

    asked = [each for each in studio.tab.requests if each.startswith("http")]
    assert [each for each in asked if not each.startswith(f"{server}/a/prefix/")] == []
    assert [each for each in asked if "/outputs/" in each or "/events?" in each] != []


def test_a_field_out_of_range_is_marked_with_what_is_allowed(studio: Studio, clip: Path) -> None:
    """By the preview, and by a run; the mark goes when the value changes."""
    studio.open()
    studio.choose(clip)
    studio.operation("filters")
    studio.set_number("brightness", 500)

    expect(studio.error_of("brightness")).to_have_text(re.compile(r"^Brightness must be .*-100.*100"))
    number = studio.field("brightness").locator('input[type="number"]')
    expect(number).to_have_attribute("aria-invalid", "true")
    described = (number.get_attribute("aria-describedby") or "").split()
    assert studio.error_of("brightness").get_attribute("id") in described
    studio.set_number("brightness", 50)
    expect(studio.error_of("brightness")).to_be_hidden()

    studio.operation("pipeline")
    studio.page.click("#run")
    expect(studio.page.locator(".pipeline > .error")).to_contain_text("operations")
    studio.page.click(".chip:has-text('Loop')")
    studio.set_number("num_loops", 99)
    studio.page.click("#run")
    expect(studio.error_of("num_loops")).to_have_text(re.compile("^Num loops must be"))


def test_what_the_server_lacks_for_a_model_is_said_before_a_job_is_started(studio: Studio) -> None:
    """At the model that is chosen, at a field, at an operation and at a step of a pipeline."""
    folder = Path(studio.server.folder, "weights") if isinstance(studio.server, RestServer) else Path()

    def lacking(model: str, file: str) -> str:
        return (
            f"{model} cannot be used, because {file} is missing and the server may not download it: put it into "
            f"{folder}, or run framepack weights fetch {model}."
        )

    studio.open()
    studio.operation("upscale")
    studio.select("model", "RealESRNet_x4plus")
    notices = studio.field("model").locator(".notices li")
    expect(notices).to_have_text(lacking("RealESRNet_x4plus", "RealESRNet_x4plus.pth"))
    studio.select("model", "tiny")
    expect(notices).to_have_count(0)

    faces = studio.field("enhance_face").locator(".notices li")
    expect(faces).to_have_count(2)
    expect(faces.first).to_be_hidden()
    studio.field("enhance_face").locator("input").check()
    expect(faces).to_have_text(
        [lacking("YuNet", "face_detection_yunet_2023mar.onnx"), lacking("GFPGANv1.4", "GFPGANv1.4.pth")]
    )
    assert studio.tab.accessibility_violations == ""

    rife = lacking("RIFE_v4.25", "flownet_v4.25.pkl")
    studio.operation("interpolate")
    expect(studio.page.locator("#settings .notices li")).to_have_text(rife)
    studio.operation("pipeline")
    studio.page.get_by_role("group", name="Add a step").get_by_role("button", name="Interpolate").click()
    expect(studio.page.locator("#settings .notices li")).to_have_text(rife)
    assert (
        studio.page.locator("#settings .notices li").evaluate("(each) => getComputedStyle(each).borderWidth") == "0px"
    )


def test_a_preview_is_given_up_for_the_one_of_newer_settings(studio: Studio, clip: Path) -> None:
    """The last one is shown."""
    studio.open()
    studio.choose(clip)
    studio.operation("filters")
    asked: list[float] = []

    def slow(route: Route) -> None:
        body = route.request.post_data_json or {}
        asked.append(body["operations"][0]["params"]["brightness"])
        if len(asked) > 1:
            route.continue_()  # the first one is never answered

    studio.page.route("**/postprocess/preview", slow)
    studio.set_number("brightness", 10)
    studio.page.wait_for_timeout(600)
    with studio.page.expect_event("requestfailed", lambda each: "preview" in each.url):
        studio.set_number("brightness", 20)

    expect(studio.page.locator(".preview .status")).to_contain_text("computed in")
    assert asked == [10, 20]


def test_a_clip_that_the_browser_cannot_play_has_a_frame_and_a_position(studio: Studio, tmp_path: Path) -> None:
    """It is previewed at this position."""
    path = make_clip(tmp_path / "old.avi", Spec(size=(96, 64), codec="mpeg4"))
    studio.open()
    studio.choose(path)

    expect(studio.page.locator(".player")).to_contain_text("This browser cannot play the file itself")
    studio.tab.wait_until("document.querySelector('.player img').naturalWidth === 96")
    studio.operation("filters")
    slider = studio.page.get_by_label("Position in the clip")
    slider.fill("0.48")
    slider.dispatch_event("change")
    expect(studio.page.locator(".preview .status")).to_contain_text("Frame 12 at 0.48 s")


def test_a_source_that_cannot_be_used_says_why(studio: Studio, tmp_path: Path) -> None:
    """And another one can be chosen."""
    path = tmp_path / "no.mp4"
    path.write_bytes(b"no video")
    studio.open()
    studio.page.set_input_files("#file", path)
    expect(studio.page.locator("#source [role=alert]")).not_to_be_empty()
    studio.page.fill("#address", "http://192.168.0.1/100%.mp4")
    studio.page.click("text=Load")
    expect(studio.page.locator("#source [role=alert]")).to_contain_text("This URL is not allowed")
    expect(studio.page.locator(".drop")).to_be_visible()


def test_a_wrong_key_is_one_sentence_and_the_right_one_is_asked_once(studio: Studio) -> None:
    """It is in this tab alone, not in the address; after it is forgotten, it is asked for again."""
    page = studio.page
    page.goto(f"{studio.server.url}/#key=wrong")
    expect(page.locator("#sign-in [role=alert]")).to_have_text("This API key is not valid.")
    page.fill("#key", KEY)
    page.click("text=Open")
    expect(page.locator("#parts")).to_be_visible()
    assert KEY not in page.url
    page.reload()
    expect(page.locator("#parts")).to_be_visible()
    page.goto(f"{studio.server.url}/docs")
    expect(page.locator("#forget")).to_be_visible()
    page.goto(f"{studio.server.url}/#key={KEY}&frames=1")
    expect(page.locator("#parts")).to_be_visible()
    assert urlsplit(page.url).fragment == "frames=1"

    page.click("text=Forget the key")
    expect(page.locator("#sign-in")).to_be_visible()
    expect(page.locator("#parts")).to_be_hidden()


def test_a_page_without_scripts_or_one_of_its_modules_says_so(browser: Browser, studio_server: RestServer) -> None:
    """It is never blank."""
    with opened_tab(browser, java_script_enabled=False) as tab:
        tab.page.goto(studio_server.url)
        expect(tab.page.locator("#loading")).to_be_visible()
        assert "<noscript><p" in tab.page.content()
    with opened_tab(browser) as tab:
        tab.page.route("**/studio/source.js", lambda route: route.fulfill(status=404, body=""))
        tab.page.goto(studio_server.url)
        expect(tab.page.locator("[role=alert]").first).to_contain_text("The page could not be loaded")
        tab.page.route("**/studio/boot.js", lambda route: route.abort())
        tab.page.reload()
        expect(tab.page.locator("#loading span")).to_be_visible()


def test_a_job_outlives_its_server_and_the_page_follows_it(
    studio: Studio, studio_server: RestServer, tmp_path: Path
) -> None:
    """Killed in mid-job, and started again at its address, as a platform does."""
    studio.open()
    studio.choose(make_clip(tmp_path / "clip.mp4", Spec(size=(320, 192), count=100)))
    studio.operation("filters")
    studio.set_number("denoise", 10)
    studio.run()
    expect(studio.page.locator(".percent")).to_have_text(re.compile("%"))
    studio_server.kill()
    expect(studio.page.locator(".run-card")).to_contain_text("The server does not respond; trying again")

    studio_server.start(ready=False, port=urlsplit(studio_server.url).port)

    expect(studio.page.locator("#result-part")).to_be_visible(timeout=60_000)
