"""A studio whose server does not respond for a while, and files that are dropped beside their place."""

from __future__ import annotations

import base64

from playwright.sync_api import expect

from tests.rest.studio.conftest import Held
from tests.support.studio import needs_browser
from tests.support.studio_walk import Studio

pytestmark = needs_browser

DROP = """([target, content]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
  data.items.add(new File([bytes], "dropped.mp4", { type: "video/mp4" }));
  return ["dragover", "drop"].map((name) => {
    const event = new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true });
    return !document.querySelector(target).dispatchEvent(event);
  });
}"""


def test_a_card_and_the_frames_that_were_opened_without_the_server_are_complete_once_it_responds(
    studio: Studio,
) -> None:
    """What was entered stays; there is one sentence on the folders, and it goes."""
    page = studio.page
    page.route("**/filters/presets", lambda route: route.abort())
    page.route("**/frames/folders", lambda route: route.abort())
    studio.operation("filters")
    studio.set_number("brightness", 7)
    expect(studio.field("preset").locator("select")).to_have_count(0)
    page.click("#frames-tab")
    expect(page.locator("frames-studio [role=alert]").first).to_have_text("The server does not respond.")
    expect(page.get_by_text("No frames yet")).to_be_hidden()

    page.unroute("**/filters/presets")
    page.unroute("**/frames/folders")

    expect(page.get_by_text("No frames yet")).to_be_visible()
    expect(page.locator("frames-studio [role=alert]").first).to_have_text("")
    page.click("#clip-tab")
    options = studio.field("preset").locator("option")
    expect(options.first).to_have_text("None")
    assert [each for each in options.all_inner_texts() if each.lower() == "none"] == ["None"]
    expect(studio.field("brightness").locator('input[type="number"]')).to_have_value("7")


def test_a_file_that_is_dropped_beside_its_place_becomes_the_clip(studio: Studio, held: Held) -> None:
    """The browser does not leave the page for it; it has no effect among the frames."""
    content = base64.b64encode(held.clip.read_bytes()).decode()
    assert studio.page.evaluate(DROP, [".top", content]) == [True, True]
    expect(studio.page.locator(".clip .name")).to_have_text("dropped.mp4")
    expect(studio.page.locator(".clip .facts")).to_contain_text("kB")
    studio.page.click("text=Another clip")

    studio.page.click("#frames-tab")
    assert studio.page.evaluate(DROP, [".top", content]) == [True, True]
    studio.page.click("#clip-tab")
    expect(studio.page.locator(".drop")).to_be_visible()


def test_the_head_of_the_page_says_at_once_that_the_server_does_not_respond_and_that_it_is_back(
    studio: Studio, held: Held
) -> None:
    """It does not wait for its next look at a server that is well."""
    page, health = studio.page, studio.page.locator(".health")
    page.add_init_script(
        "const own = setTimeout; window.setTimeout = (act, ms, ...more) => ms === 15000 ? -1 : own(act, ms, ...more);"
    )
    page.reload()
    studio.choose(held.clip)
    studio.operation("loop")
    expect(health).to_have_text("Ready")

    page.context.set_offline(True)
    page.get_by_role("button", name="Preview").click()
    expect(health).to_have_text("The server does not respond")
    page.context.set_offline(False)
    expect(health).to_have_text("Ready")
