"""The studio is for everybody: without a mouse, with a screen reader, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.clips import Spec, make_clip
from tests.support.rest_server import KEY, HeldBackend, LocalServer, server_in_thread
from tests.support.studio import Tab, needs_browser, opened_tab
from tests.support.studio_walk import Studio

pytestmark = needs_browser

PHONE = 360
NAME_OF_FOCUSED = """
(({labels, textContent}) => labels?.length ? labels[0].textContent : textContent)(document.activeElement)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server that previews and analyzes."""
    with server_in_thread(tmp_path_factory.mktemp("access"), HeldBackend()) as server:
        yield server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Spec(size=(96, 64)))


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (1280, "light")])
def test_axe_finds_nothing_in_either_color_scheme(
    browser: Browser, server: LocalServer, clip: Path, scheme: str, width: int
) -> None:
    """While it asks for the key, empty, with a pipeline and its preview, with an error, and with frames."""
    with opened_tab(browser, width, 800, color_scheme=scheme) as tab:
        studio = Studio(tab, server)
        tab.page.goto(f"{server.url}/")
        expect(tab.page.locator("#sign-in")).to_be_visible()
        assert tab.accessibility_violations == ""
        studio.open()
        assert tab.accessibility_violations == ""
        studio.choose(clip)
        studio.operation("pipeline")
        tab.page.click(".chip:has-text('Filters')")
        studio.set_number("contrast", 2)
        expect(tab.page.locator(".preview .status")).to_contain_text("computed in")
        studio.set_number("contrast", 9)
        expect(studio.error_of("contrast")).to_be_visible()
        tab.page.click("text=The same from a program")
        assert tab.accessibility_violations == ""
        tab.page.click("#frames-tab")
        assert tab.accessibility_violations == ""


def test_nothing_is_wider_than_a_phone(browser: Browser, server: LocalServer, clip: Path) -> None:
    """With the settings of each operation."""
    with opened_tab(browser, PHONE, 740, has_touch=True, is_mobile=True) as tab:
        studio = Studio(tab, server)
        studio.open()
        studio.choose(clip)
        for name in tab.page.locator('input[name="operation"]').evaluate_all("all => all.map((each) => each.value)"):
            studio.operation(name)
            assert tab.page.evaluate("document.documentElement.scrollWidth") == PHONE, name


def test_a_clip_is_finished_by_keyboard_alone(tab: Tab, server: LocalServer) -> None:
    """Each stop has a name; the cards are one stop, whose arrows choose."""
    tab.page.goto(f"{server.url}/")
    expect(tab.page.locator("#key")).to_be_focused()
    tab.page.keyboard.type(KEY)
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#parts")).to_be_visible()

    def to(name: str) -> None:
        for _ in range(60):
            tab.page.keyboard.press("Tab")
            if tab.page.evaluate(NAME_OF_FOCUSED) == name:
                return
        pytest.fail(f"the keyboard does not reach {name}")

    to("Use the sample clip")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".clip .facts li").first).to_have_text("256 \u00d7 144")
    to("Upscale")
    for _ in range(3):
        tab.page.keyboard.press("ArrowRight")
    expect(tab.page.locator('input[value="loop"]')).to_be_checked()
    to("Run")
    tab.page.keyboard.press("Enter")
    tab.wait_until("location.hash.startsWith('#job=')")
    to("Stop")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".run [role=alert]")).to_contain_text("cancelled")
