"""Links that have expired: the page gets new ones, and does not take them for files that it cannot play."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image
from playwright.sync_api import Page, Route, expect

from framepack.storage.frames.folders import folder_key
from tests.rest.studio.conftest import Held
from tests.support.clips import Spec, make_clip
from tests.support.studio import needs_browser
from tests.support.studio_walk import Studio

pytestmark = needs_browser

_LIFETIME_SECONDS = 86_400
"""Of links, by default."""
PLAYABLE = "[...document.querySelectorAll('{} video')].filter((each) => each.readyState >= 2).length === {}"


def expire(page: Page) -> Callable[[], int]:
    """Let all links of now expire; returns what counts the requests to them."""
    refused: list[str] = []
    now = page.evaluate("Math.floor(Date.now() / 1000)")

    def answer(route: Route) -> None:
        expires = _LIFETIME_SECONDS + now
        given = int(route.request.url.partition("expires=")[2].partition("&")[0] or 2**40)
        if given > expires or "x-api-key" in route.request.headers:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=401, json={"detail": "This link has expired.", "code": "unauthorized"})

    page.route("**/outputs/**", answer)
    page.wait_for_timeout(1500)  # links of the same second are the same
    return lambda: len(refused)


def test_expired_links_of_a_result_and_its_source_are_replaced(studio: Studio, held: Held) -> None:
    """For the download, and for both sides after the page is loaded anew."""
    page = studio.page
    studio.operation("loop")
    held.finish(studio.run())
    expect(page.locator("#result-part")).to_be_visible()
    refused = expire(page)

    with page.expect_download() as download:
        page.click("#result >> text=Download")
    assert download.value.path().read_bytes() == held.clip.read_bytes()

    page.reload()
    studio.tab.wait_until(PLAYABLE.format("#source", 1))
    studio.tab.wait_until(PLAYABLE.format("#result", 2))
    assert refused() > 0  # the link of the upload that this tab has kept


def test_a_result_that_was_deleted_is_not_called_one_that_cannot_be_played(studio: Studio, held: Held) -> None:
    """The comparison says so, and the download too."""
    page = studio.page
    held.finish(studio.run())
    expect(page.locator("#result-part")).to_be_visible()
    page.route("**/outputs/**", lambda route: route.fulfill(status=404, json={"detail": "no", "code": "not_found"}))
    page.click("#result >> text=Download")
    expect(page.locator("#result [role=alert]")).to_have_text("This file does not exist any more.")
    page.reload()
    expect(page.locator("#result .compare-problem").last).to_have_text("This file does not exist any more.")


def test_a_source_whose_file_is_not_sent_is_not_called_one_that_cannot_be_played(studio: Studio, held: Held) -> None:
    """A frame of it is shown in its place, and it can be processed all the same."""
    page = studio.page
    held.finish(studio.run())
    page.route("**/outputs/**", lambda route: route.fulfill(status=503, json={"detail": "no", "code": "unavailable"}))
    page.click("text=Continue with this")

    expect(page.locator(".clip .help")).to_have_text("The server cannot send this file at the moment.")
    studio.tab.wait_until("document.querySelector('.clip .player img')?.naturalWidth === 96")
    expect(page.locator("#run")).to_be_enabled()


def test_a_source_that_the_browser_cannot_play_is_compared_with_a_frame_of_it(studio: Studio, held: Held) -> None:
    """The sentence on it has a dark ground."""
    page = studio.page
    page.click("text=Another clip")
    studio.choose(make_clip(held.clip.with_name("old.avi"), Spec(size=(96, 64), codec="mpeg4")))
    studio.operation("loop")
    held.finish(studio.run())

    pane = page.locator("#result .compare-pane[data-side=before]")
    expect(pane.locator("p")).to_contain_text("This browser cannot play this video")
    studio.tab.wait_until("document.querySelector('#result [data-side=before] img')?.naturalWidth === 96")
    ground = pane.locator("p").evaluate("(each) => getComputedStyle(each).backgroundColor")
    assert ground.startswith("rgba(0, 0, 0, 0.")


def test_expired_links_of_frames_are_replaced(studio: Studio, held: Held) -> None:
    """For thumbnails that come into sight and for the frame in full, by one new list; the selection stays."""
    page, file = studio.page, io.BytesIO()
    Image.new("RGB", (16, 9)).save(file, "PNG")
    storage = held.server.server.runtime.storage
    for number in range(300):
        storage.put_bytes(folder_key("old") / f"frame_{number:06d}.png", file.getvalue())
    page.click("#frames-tab")
    page.get_by_role("button", name="old").click()
    page.get_by_role("option", name="frame_000001.png").click()
    refused = expire(page)
    lists: list[str] = []
    page.on("request", lambda request: lists.append(request.url) if "with_urls" in request.url else None)

    page.get_by_role("listbox").press("Shift+End")
    expect(page.get_by_text("299 frames selected")).to_be_visible()
    studio.tab.wait_until(
        "[...document.querySelectorAll('[role=option] img')].every((each) => each.naturalWidth === 16)"
    )
    assert (refused() > 0, len(lists)) == (True, 1)
    expect(page.get_by_text("299 frames selected")).to_be_visible()

    page.get_by_role("listbox").press("Enter")
    studio.tab.wait_until("document.querySelector('.frames-viewer img').naturalWidth === 16")
