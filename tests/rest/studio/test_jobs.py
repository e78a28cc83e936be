"""Jobs in the studio: progress, the queue, stop, reload, errors; a backend of the test says how they go."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from framepack.jobs.backends.base import Readiness
from tests.rest.studio.conftest import Held
from tests.support.rest_server import KEY
from tests.support.studio import needs_browser
from tests.support.studio_walk import Studio

pytestmark = needs_browser


def drag(page: Page, handle: Locator, target: str) -> None:
    """Drag something; where to is looked up when the drag has begun, which makes the items of a list small."""
    handle.hover()
    page.mouse.down()
    begin = handle.bounding_box()
    assert begin is not None
    page.mouse.move(begin["x"], begin["y"] - 20, steps=3)
    page.wait_for_timeout(100)
    for _ in range(2):  # the first one enters it
        page.locator(target).hover(force=True)
    page.mouse.up()


def percent(page: Page) -> str:
    """What is shown of the progress."""
    return page.locator(".percent").inner_text()


def test_progress_moves_with_the_frames_and_the_time_that_is_left(studio: Studio, held: Held) -> None:
    """The tab's title has it, too."""
    job_id = studio.run()
    job = held.backend.wait_for(job_id)

    job.progress(frames_done=5, frames_total=25, percent=20.0, seconds_left=75.2)
    expect(studio.page.locator(".run-card")).to_contain_text("5 of 25 frames, about 1 min 15 s left")
    first = percent(studio.page), studio.page.locator(".run-card progress").get_attribute("value")
    job.progress(frames_done=20, frames_total=25, percent=80.0, seconds_left=4.0)
    expect(studio.page.locator(".run-card")).to_contain_text("20 of 25 frames, about 4 s left")

    assert first[0] == "20 %"
    assert percent(studio.page) == "80 %"
    assert studio.page.title() == "80 % · FramePack studio"
    held.finish(job_id)
    expect(studio.page.locator("#result-part")).to_be_visible()
    assert studio.page.title() == "FramePack studio"


def test_a_job_that_waits_says_how_many_are_ahead_of_it(studio: Studio, held: Held) -> None:
    """Until it runs."""
    ahead = held.server.start_job("/postprocess/loop", {"video_base64": "AAAA"})
    held.backend.wait_for(ahead)
    job_id = studio.run()

    expect(studio.page.locator(".run-card")).to_contain_text("1 job is ahead.")
    held.backend.wait_for(ahead).finish()
    held.backend.wait_for(job_id).progress(percent=10.0)
    expect(studio.page.locator(".percent")).to_have_text("10 %")
    held.finish(job_id)


def test_a_job_that_waits_for_its_worker_or_the_store_says_so(studio: Studio, held: Held) -> None:
    """The server tells a sentence of the one, and a name of the other."""
    page, line = studio.page, studio.page.locator(".run-card .muted")
    ahead = held.server.start_job("/postprocess/loop", {"video_base64": "AAAA"})
    held.backend.wait_for(ahead)
    job_id = studio.run()
    expect(line).to_have_text("1 job is ahead.")
    held.backend.readiness = Readiness.STARTING
    page.reload()
    expect(line).to_have_text("The worker is starting.")

    held.backend.readiness = Readiness.READY
    held.backend.wait_for(ahead).finish()
    held.backend.wait_for(job_id).progress(waiting_for="the store")
    expect(line).to_have_text("Waiting for the store")
    held.finish(job_id)
    expect(page.locator("#result-part")).to_be_visible()


def test_stop_cancels_the_job_on_the_server(studio: Studio, held: Held) -> None:
    """The settings are there to run it again."""
    job_id = studio.run()
    held.backend.wait_for(job_id).progress(percent=30.0)
    studio.page.click("text=Stop")

    ended = studio.page.locator(".run [role=alert]")
    expect(ended).to_contain_text("cancelled")
    colors = [
        each.evaluate("(each) => getComputedStyle(each).color")
        for each in (ended, studio.page.locator(".help").first)
    ]
    assert colors[0] == colors[1]  # not that of an error
    assert held.server.job(job_id)["state"] == "cancelled"
    expect(studio.page.locator("#run")).to_be_enabled()


def test_a_page_that_is_loaded_anew_goes_on_with_its_job(studio: Studio, held: Held) -> None:
    """The clip, the operation and its settings are as they were; the result is beside the source."""
    studio.operation("filters")
    studio.set_number("brightness", 12)
    job_id = studio.run()
    job = held.backend.wait_for(job_id)
    job.progress(percent=40.0)
    expect(studio.page.locator(".percent")).to_have_text("40 %")

    studio.page.reload()

    expect(studio.page.locator(".percent")).to_have_text("40 %")
    expect(studio.page.locator(".clip .name")).to_have_text("a clip.mp4")
    expect(studio.field("brightness").locator('input[type="number"]')).to_have_value("12")
    held.finish(job_id)
    expect(studio.page.locator("#result-part")).to_be_visible()
    expect(studio.page.locator("#result video")).to_have_count(2)


def test_a_failed_job_says_why_at_the_field_that_it_names_or_above_all(studio: Studio, held: Held) -> None:
    """A field of another operation is no place for it."""
    studio.operation("loop")
    job_id = studio.run()
    held.backend.wait_for(job_id).finish(
        success=False, error="num_loops must be smaller for this video.", code="invalid_field", status=400
    )
    expect(studio.error_of("num_loops")).to_have_text("Num loops must be smaller for this video.")

    job_id = studio.run()
    held.backend.wait_for(job_id).finish(success=False, error="The GPU has failed.", code="device_lost", status=503)
    expect(studio.page.locator(".run [role=alert]")).to_have_text("The GPU has failed.")
    expect(studio.page.locator(".run [role=status]")).to_have_text("")
    top = "document.querySelector('.recent li:first-child {}').getBoundingClientRect().top"
    expect(studio.page.locator(".recent li").first.locator(".state")).to_have_text("failed")
    assert abs(studio.page.evaluate(f"{top.format('.state')} - {top.format('time')}")) < 5  # in one line of the card
    widths = "(({firstElementChild: card}) => [card.clientWidth, card.firstElementChild.offsetWidth])"
    card, thumbnail = studio.page.evaluate(f"{widths}(document.querySelector('.recent li:first-child'))")
    assert card == thumbnail


def test_only_what_was_changed_is_sent(studio: Studio, held: Held) -> None:
    """A preset fills the other fields, which are not sent either; a reset takes a value back."""
    studio.operation("filters")
    studio.set_number("sharpen", 2)
    studio.select("preset", "cinematic")
    expect(studio.field("contrast").locator('input[type="number"]')).not_to_have_value("1")
    grain = studio.field("film_grain").locator('input[type="number"]')
    expect(grain).to_have_value("5")  # presets have another name for it
    grain.fill("0")
    studio.set_number("brightness", 5)
    studio.set_number("blur", 1)
    studio.field("blur").locator("text=Reset").click()
    job_id = studio.run()

    fields = held.backend.wait_for(job_id).item.read_fields()
    assert fields.pop("video_url").startswith("/outputs/uploads/a clip")
    assert fields == {"preset": "cinematic", "brightness": 5, "film_grain": 0}
    held.finish(job_id)


def test_the_steps_of_a_pipeline_are_sent_in_the_order_they_were_put_in(studio: Studio, held: Held) -> None:
    """With buttons or by dragging."""
    studio.operation("pipeline")
    for name in ("Filters", "Loop", "Export"):
        studio.page.click(f".chip:has-text('{name}')")
        expect(studio.page.locator(f".sortable strong:text-is('{name}')")).to_be_visible()
    studio.page.locator("li", has_text="Loop").locator('[data-field="num_loops"] input[type="number"]').fill("3")
    studio.page.click("[aria-label='Move up Loop']")
    expect(studio.page.locator(".sortable strong")).to_have_text(["Loop", "Filters", "Export"])
    drag(studio.page, studio.page.locator("li", has_text="Export").locator(".handle"), ".sortable li >> nth=0")
    expect(studio.page.locator(".sortable strong")).to_have_text(["Export", "Loop", "Filters"])
    studio.page.click("[aria-label='Remove Filters']")
    job_id = studio.run()

    assert held.backend.wait_for(job_id).item.read_fields()["operations"] == [
        {"type": "export", "params": {}},
        {"type": "loop", "params": {"num_loops": 3}},
    ]
    held.finish(job_id)


def test_a_key_that_is_no_longer_accepted_is_asked_for_again(studio: Studio, held: Held) -> None:
    """Such as that of a server that was started anew; the clip and the settings stay."""
    refused = {"detail": "Invalid or missing API key", "code": "unauthorized"}
    studio.page.route("**/postprocess/upscale", lambda route: route.fulfill(status=401, json=refused))
    studio.page.click("#run")

    expect(studio.page.locator("#sign-in [role=alert]")).to_contain_text("does not accept the API key any more")
    studio.page.unroute("**/postprocess/upscale")
    studio.page.fill("#key", KEY)
    studio.page.click("#sign-in button")
    expect(studio.page.locator("#sign-in")).to_be_hidden()
    held.finish(studio.run())
    expect(studio.page.locator("#result-part")).to_be_visible()


def test_a_key_in_the_address_of_an_open_page_is_taken_out_of_it(studio: Studio, held: Held) -> None:
    """The result stays; a wrong key is asked for again."""
    page = studio.page
    job_id = studio.run()
    held.finish(job_id)
    expect(page.locator("#result-part")).to_be_visible()

    page.goto(f"{held.server.url}/#key={KEY}")
    studio.tab.wait_until(f"location.hash === '#job={job_id}'")
    expect(page.locator("#result-part")).to_be_visible()
    page.goto(f"{held.server.url}/#key=wrong")
    expect(page.locator("#sign-in [role=alert]")).to_contain_text("does not accept the API key")
    assert page.url.endswith(f"#job={job_id}")
    page.goto(f"{held.server.url}/#key={KEY}")
    expect(page.locator("#sign-in")).to_be_hidden()
    assert KEY not in page.url


def test_clips_are_joined_in_the_order_of_their_list(studio: Studio, held: Held) -> None:
    """The one that is open comes first; others are uploaded or at addresses."""
    studio.operation("join")
    studio.page.set_input_files("#more-files", [held.clip])
    expect(studio.page.locator(".sortable li")).to_have_count(2)
    studio.page.get_by_label("Address of another clip").fill("https://example.com/b.mp4?x=1")
    studio.page.click("text=Add >> nth=-1")
    expect(studio.page.locator(".sortable strong")).to_have_text(["a clip.mp4", "a clip.mp4", "b.mp4"])
    studio.page.click("[aria-label='Move up b.mp4']")
    studio.page.click("[aria-label='Remove a clip.mp4'] >> nth=0")
    studio.operation("loop")
    studio.operation("join")
    expect(studio.page.locator(".sortable strong")).to_have_text(["b.mp4", "a clip.mp4"])
    studio.page.set_input_files("#more-files", [held.clip])
    expect(studio.page.locator(".sortable li")).to_have_count(3)
    studio.page.click("[aria-label='Move down b.mp4']")
    job_id = studio.run()

    first, second, third = held.backend.wait_for(job_id).item.read_fields()["video_urls"]
    assert second == "https://example.com/b.mp4?x=1"
    assert first.startswith("/outputs/uploads/")
    assert third.startswith("/outputs/uploads/")
    assert first != third


def test_a_recent_job_is_opened_again(studio: Studio, held: Held) -> None:
    """Also by a tab that did not start it."""
    job_id = studio.run()
    held.finish(job_id)
    expect(studio.page.locator("#result-part")).to_be_visible()
    studio.page.evaluate("sessionStorage.removeItem('framepack.jobs')")
    studio.open(f"?other#key={KEY}")

    newest = studio.page.locator(".recent button").first
    expect(newest.locator("canvas")).to_be_visible()
    newest.click()

    expect(studio.page.locator("#result-part")).to_be_visible()
    assert studio.page.url.endswith(f"#job={job_id}")


def test_an_earlier_result_is_not_shown_while_the_next_job_runs_or_after_it_failed(
    studio: Studio, held: Held
) -> None:
    """The preview is there in its place."""
    held.finish(studio.run())
    expect(studio.page.locator("#result-part")).to_be_visible()

    job_id = studio.run()
    expect(studio.page.locator(".run-card")).to_be_visible()
    while_it_runs = studio.page.locator("#result-part").is_visible()
    held.backend.wait_for(job_id).finish(success=False, error="The GPU has failed.", code="device_lost", status=503)

    expect(studio.page.locator(".run [role=alert]")).to_have_text("The GPU has failed.")
    assert not while_it_runs
    expect(studio.page.locator("#result-part")).to_be_hidden()
    expect(studio.page.locator("#preview-part")).to_be_visible()
