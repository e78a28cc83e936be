"""The preview of the studio says of which settings it is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.studio import needs_browser
from tests.support.studio_walk import Studio

pytestmark = needs_browser

OLD = "This is out of date. Press Preview for a new one."
FACTS = ".preview > .muted"


@pytest.fixture
def page(studio: Studio) -> Page:
    """The page with a preview of filters; those that follow are not automatic."""
    studio.operation("filters")
    studio.page.click("label[for=automatic]")
    studio.page.get_by_role("button", name="Preview").click()
    expect(studio.page.locator(".preview .status")).to_contain_text("Frame 0 at 0 s")
    expect(studio.page.locator(FACTS)).to_contain_text("The whole clip becomes 96")
    return studio.page


def test_a_preview_is_marked_as_old_as_soon_as_a_setting_changes(studio: Studio, page: Page) -> None:
    """Until the setting is as it was, or another preview is there."""
    studio.set_number("brightness", 20)

    assert page.locator(".preview .status").inner_text() == OLD
    assert not page.locator(FACTS).is_visible()
    studio.field("brightness").locator("text=Reset").click()
    expect(page.locator(".preview .status")).to_contain_text("Frame 0 at 0 s")
    expect(page.locator(FACTS)).to_be_visible()
    studio.set_number("brightness", 20)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".preview .status")).to_contain_text("Frame 0 at 0 s")
    expect(page.locator(".preview")).not_to_have_class("preview old")


def test_a_preview_is_marked_as_old_when_the_playhead_moves(page: Page) -> None:
    """It is of another frame."""
    page.evaluate("document.querySelector('#source video').currentTime = 0.4")

    expect(page.locator(".preview .status")).to_have_text(OLD)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".preview .status")).to_contain_text("Frame 10 at 0.4 s")


def test_a_preview_that_took_long_is_marked_as_old_though_previews_are_automatic(studio: Studio, page: Page) -> None:
    """The next one waits for the button."""
    page.evaluate(
        "window.late = 0; const now = performance.now.bind(performance); performance.now = () => now() + late"
    )

    def slow(route: Route) -> None:
        page.evaluate("window.late += 6000")
        route.continue_()

    page.route("**/postprocess/preview", slow)
    page.click("label[for=automatic]")
    expect(page.locator(".preview .status")).to_contain_text("because this took long")
    studio.set_number("brightness", 20)

    expect(page.locator(".preview .status")).to_have_text(OLD)
    expect(page.locator(FACTS)).to_be_hidden()
