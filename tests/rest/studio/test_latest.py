"""Answers that come late are not shown in place of what was chosen in the meantime."""

from __future__ import annotations

from contextlib import suppress

from playwright.sync_api import Error, expect

from tests.rest.studio.conftest import Held
from tests.support.studio import needs_browser
from tests.support.studio_walk import Studio, held_back

pytestmark = needs_browser


def summary_of(studio: Studio, name: str) -> str:
    """What an operation says of itself."""
    return (
        studio.page.locator("label.card", has=studio.page.locator(f'input[value="{name}"]')).get_attribute("title")
        or ""
    )


def test_the_form_of_a_slower_request_does_not_replace_that_of_the_chosen_card(studio: Studio, held: Held) -> None:
    """Nothing can be run until the form is there."""
    page = studio.page
    summary = page.locator("#settings .help").first
    with held_back(page, "**/filters/presets"):
        page.locator("label.card", has=page.locator('input[value="filters"]')).click()
        expect(summary).to_have_text("Loading the settings \u2026")
        expect(page.locator("#run")).to_be_disabled()
        page.keyboard.press("ArrowRight")
        chosen = page.locator("input[name=operation]:checked").get_attribute("value") or ""
        expect(summary).to_have_text(summary_of(studio, chosen))

    assert chosen != "filters"
    expect(summary).to_have_text(summary_of(studio, chosen))
    job_id = studio.run()
    assert held.server.job(job_id)["operation"] == chosen
    held.finish(job_id)


def test_a_reloaded_page_has_the_settings_of_its_job_though_those_of_its_start_come_later(
    studio: Studio, held: Held
) -> None:
    """The first card is chosen at the start."""
    page = studio.page
    studio.operation("loop")
    studio.set_number("num_loops", 3)
    job_id = studio.run()
    held.finish(job_id)
    with held_back(page, "**/models*") as waiting:
        page.reload()
        expect(page.locator("#settings .help").first).to_have_text(summary_of(studio, "loop"))
        expect(page.locator("#result-part")).to_be_visible()

    assert waiting
    expect(page.locator("input[name=operation]:checked")).to_have_value("loop")
    expect(page.locator("#settings .help").first).to_have_text(summary_of(studio, "loop"))
    expect(studio.field("num_loops").locator('input[type="number"]')).to_have_value("3")


def test_steps_are_in_the_order_in_which_they_were_added_though_the_first_form_comes_last(studio: Studio) -> None:
    """Those of a list that is replaced in the meantime are not added."""
    page = studio.page
    studio.operation("pipeline")
    with held_back(page, "**/filters/presets"):
        page.click(".chip:has-text('Filters')")
        page.click(".chip:has-text('Loop')")

    expect(page.locator(".sortable strong")).to_have_text(["Filters", "Loop"])


def test_a_job_that_starts_after_another_was_opened_runs_but_does_not_take_its_place(
    studio: Studio, held: Held
) -> None:
    """It is among the recent jobs."""
    page = studio.page
    studio.operation("loop")
    first = studio.run()
    held.finish(first)
    expect(page.locator("#result-part")).to_be_visible()
    page.click("#back")
    before = page.locator(".recent li").count()
    with held_back(page, "**/postprocess/loop") as waiting:
        page.click("#run")
        page.evaluate(f"location.hash = 'other=1&job={first}'")
        expect(page.locator("#result-part")).to_be_visible()

    assert len(waiting) == 1
    assert page.url.endswith(f"job={first}")
    expect(page.locator("#result-part")).to_be_visible()
    expect(page.locator(".recent li")).to_have_count(min(12, before + 1))


def test_a_list_of_recent_jobs_that_comes_late_does_not_replace_a_newer_one(studio: Studio, held: Held) -> None:
    """The one from before the job."""
    page = studio.page
    with held_back(page, "**/jobs?limit=100") as waiting:
        page.reload()
        expect(page.locator("#parts")).to_be_visible()
        studio.tab.wait_until("document.querySelector('#recent .recent').childElementCount === 0")
        page.wait_for_timeout(100)
        assert len(waiting) == 1
        page.unroute("**/jobs?limit=100")
        studio.choose(held.clip)
        job_id = studio.run()
        expect(page.locator(".recent .queued, .recent .running").first).to_be_visible()
        count = page.locator(".recent li").count()
        with suppress(Error):
            waiting[0].fulfill(json={"jobs": []})

    expect(page.locator(".recent li")).to_have_count(count)
    held.finish(job_id)
