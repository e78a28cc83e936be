"""Animated images in the studio are played in sync, as videos are."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.rest.studio.conftest import Compared, Held
from tests.support.clips import barred
from tests.support.studio import needs_browser
from tests.support.studio_page import StudioPage
from tests.support.studio_walk import Studio
from tests.support.transparency import animation

pytestmark = needs_browser

FRAME = 3


def sought(studio: Studio, frame: int) -> tuple[int, int]:
    """The frames that both sides of the result show, after a seek."""
    studio.page.evaluate("window.view = document.querySelector('#result compare-view')")
    studio.tab.wait_until("view.querySelectorAll('.compare-stage canvas:not(.compare-loupe)').length === 2")
    shown = Compared(studio.tab, StudioPage(), "#result")
    shown.seek(frame)
    return shown.numbers()


def test_a_gif_is_compared_frame_by_frame_also_after_a_reload(studio: Studio, held: Held, tmp_path: Path) -> None:
    """A local file, one that is fetched back, and a result that is the next source."""
    page = studio.page
    page.click("text=Another clip")
    studio.choose(animation(tmp_path / "bars.gif", barred, (128, 96), [100] * 10))
    studio.operation("filters")
    held.finish(studio.run(), ".gif")
    expect(page.locator("#result-part")).to_be_visible()
    local = sought(studio, FRAME)
    page.reload()
    expect(page.locator("#result-part")).to_be_visible()
    reloaded = sought(studio, FRAME)
    page.click("text=Continue with this")
    expect(page.locator(".clip .facts li").first).to_be_visible()
    studio.operation("loop")
    held.finish(studio.run(), ".gif")
    expect(page.locator("#result-part")).to_be_visible()
    continued = sought(studio, FRAME)

    assert [local, reloaded, continued] == [(FRAME, FRAME)] * 3


def test_an_animation_that_is_taken_away_while_it_is_decoded_is_no_fault(compared: Compared) -> None:
    """Such as when the page is left for the settings while it plays."""
    compared.show("bars.gif", "bars.gif")
    compared.script(
        """() => {
          const decode = ImageDecoder.prototype.decode;
          ImageDecoder.prototype.decode = function (...options) {
            setTimeout(() => view.clear());
            return decode.apply(this, options);
          };
        }"""
    )
    compared.button("play").click()

    compared.tab.wait_until("view.hidden")
    compared.tab.page.wait_for_timeout(200)
    assert compared.tab.faults == []
