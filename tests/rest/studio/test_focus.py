"""Where the keyboard is in the studio: what has the focus never goes away without something else getting it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.rest.studio.conftest import Held
from tests.support.rest_server import KEY
from tests.support.studio import Tab, needs_browser
from tests.support.studio_walk import Studio

pytestmark = needs_browser


@pytest.fixture
def empty(tab: Tab, held: Held) -> Studio:
    """The page, into which the key is entered."""
    studio = Studio(tab, held.server)
    tab.page.goto(held.server.url)
    expect(tab.page.locator("#sign-in")).to_be_visible()
    tab.page.keyboard.type(KEY)
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#parts")).to_be_visible()
    return studio


def choose(studio: Studio, clip: Path) -> None:
    """Choose a file as with the keyboard."""
    with studio.page.expect_file_chooser() as chooser:
        # Keys reach the page past the protocol that asks for its choosers: an answer says that the page was asked.
        studio.page.evaluate("0")
        studio.page.keyboard.press("Enter")
    chooser.value.set_files(clip)


def test_the_keyboard_goes_from_the_key_to_the_clip_and_from_there_to_another(empty: Studio, held: Held) -> None:
    """Also back, when the clip cannot be used."""
    page = empty.page
    expect(page.locator("#file")).to_be_focused()
    choose(empty, held.clip)
    expect(page.locator("text=Another clip")).to_be_focused()

    page.keyboard.press("Enter")
    expect(page.locator("#file")).to_be_focused()
    choose(empty, Path(__file__))
    expect(page.locator("#source [role=alert]")).not_to_be_empty()
    expect(page.locator("#file")).to_be_focused()


def test_an_item_that_is_moved_to_an_end_or_removed_leaves_the_keyboard_in_the_list(studio: Studio) -> None:
    """At the button for the other direction, and at that of the next item."""
    page = studio.page
    studio.operation("pipeline")
    for name in ("Filters", "Loop", "Export"):
        page.click(f".chip:has-text('{name}')")
    expect(page.locator(".sortable li")).to_have_count(3)

    for pressed, focused in (
        ("Move up Loop", "Move down Loop"),
        ("Move down Filters", "Move up Filters"),
        ("Remove Loop", "Remove Export"),
        ("Remove Filters", "Remove Export"),
    ):
        page.get_by_label(pressed).press("Enter")
        expect(page.get_by_label(focused)).to_be_focused()
    page.get_by_label("Remove Export").press("Enter")
    expect(page.locator(".pipeline > div").first).to_be_focused()
