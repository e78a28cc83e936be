"""The preview of the studio says of which settings it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.rest.studio.conftest import Held
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


def test_a_preview_that_fails_names_its_step_as_people_count(studio: Studio) -> None:
    """One step alone needs no name; commands are shown as such, and an empty place does not ask for what is there."""
    page, empty = studio.page, studio.page.locator(".preview .empty")
    missing = "The file is missing: run `framepack weights fetch` there."

    def refuse(route: Route) -> None:
        step = len(json.loads(route.request.post_data or "{}")["operations"]) - 1
        detail = f"operations[{step}] (interpolate): {missing}"
        route.fulfill(status=503, json={"detail": detail, "code": "model_unavailable"})

    page.route("**/postprocess/preview", refuse)
    studio.operation("pipeline")
    expect(empty).to_have_text("Add a step to see what it does.")
    add = page.get_by_role("group", name="Add a step")
    add.get_by_role("button", name="Interpolate").click()
    error = page.locator(".preview [role=alert]")
    expect(error).to_have_text(missing.replace("`", ""))
    expect(error.locator("code")).to_have_text("framepack weights fetch")
    expect(empty).to_have_text("Press Preview to see one frame before and after.")

    add.get_by_role("button", name="Interpolate").click()
    expect(error).to_have_text("Step 2 (interpolate): " + missing.replace("`", ""))


def test_what_has_no_preview_says_so_while_a_job_runs(studio: Studio, held: Held) -> None:
    """It does not ask for the clip that is there."""
    studio.operation("loop")
    job_id = studio.run()
    studio.operation("extract_frames")

    expect(studio.page.locator(".preview .empty")).to_have_text("This operation has no preview.")
    held.finish(job_id)


def test_an_operation_that_does_not_take_the_source_says_so_and_cannot_be_run(
    studio: Studio, held: Held, tmp_path: Path
) -> None:
    """A still image for videos, and a video for images."""
    page, note, empty = studio.page, studio.page.locator("#run-note"), studio.page.locator(".preview .empty")
    studio.operation("caption_image")
    expect(note).to_have_text("This is a video; Caption image needs an image.")
    expect(page.locator("#run")).to_be_disabled()

    Image.new("RGB", (64, 48), "red").save(tmp_path / "still.png")
    page.click("text=Another clip")
    page.set_input_files("#file", tmp_path / "still.png")
    expect(page.locator(".clip .name")).to_have_text("still.png")
    expect(note).to_have_text("")
    job_id = studio.run()
    held.backend.wait_for(job_id).finish(success=False, error="No model.", code="model_unavailable", status=503)
    expect(page.locator(".run [role=alert]")).to_have_text("No model.")

    studio.operation("upscale")
    expect(note).to_have_text("This is a still image; Upscale needs a video.")
    expect(empty).to_have_text("This is a still image; Upscale needs a video.")
    expect(page.locator("#run")).to_be_disabled()
    expect(page.locator(".run [role=alert]")).to_have_text("")  # it was of the other operation


def test_settings_that_are_changed_beside_a_result_offer_their_preview(studio: Studio, held: Held) -> None:
    """The result stays until it is asked for."""
    page, back = studio.page, studio.page.locator("#back")
    studio.operation("filters")
    held.finish(studio.run())
    expect(back).to_be_visible()
    expect(back).to_have_text("Back to the preview")
    studio.set_number("brightness", 20)
    expect(back).to_have_text("Preview these settings")

    back.click()
    expect(page.locator("#result-part")).to_be_hidden()
    expect(page.locator(".preview .status")).to_contain_text("Frame 0 at 0 s")
