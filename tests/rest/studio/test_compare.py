"""``<compare-view>`` shows moments that belong together, whatever the lengths, rates and formats of the sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.rest.studio.conftest import COUNT, RATE, Compared, negative, psnr, resized
from tests.support.clips import Pixels, scene
from tests.support.studio import needs_browser, opened_tab
from tests.support.studio_page import StudioPage

pytestmark = needs_browser


def expected_halves(shown: tuple[Pixels, Pixels], index: int, height: int, width: int) -> tuple[Pixels, Pixels]:
    """The parts of both clips' frames that the halves of the stage show."""
    before, after = resized(scene(index, 96, 64), width, height), resized(negative(index, 192, 128), width, height)
    left, right = shown
    return before[60:, : left.shape[1]], after[60:, width - right.shape[1] :]


def thinned(halves: tuple[Pixels, Pixels]) -> tuple[Pixels, Pixels]:
    """Every fourth pixel, to compare faster."""
    return halves[0][::4, ::4], halves[1][::4, ::4]


def frames_shown(compared: Compared) -> tuple[int, int]:
    """The frames of which both halves of the stage are the best likenesses, which must be good ones."""
    height, width, _ = compared.stage().shape
    halves = compared.halves()
    shown = thinned(halves)
    likeness = np.array(
        [list(map(psnr, shown, thinned(expected_halves(halves, index, height, width)))) for index in range(COUNT)]
    )
    assert likeness.max(0).min() > 30, likeness.max(0)
    left, right = likeness.argmax(0)
    return int(left), int(right)


def test_left_and_right_of_the_divider_are_the_frames_before_and_after(compared: Compared) -> None:
    """At the first frame, and where the seek bar is dragged to."""
    compared.show("before.mp4", "after.mp4")
    assert frames_shown(compared) == (0, 0)

    for step in (17, COUNT - 1, 5):
        compared.seek(step)
        assert frames_shown(compared) == (step, step)
        assert compared.times() == pytest.approx([(step + 0.5) / RATE] * 2, abs=0.01)


def test_a_step_by_key_or_button_shows_the_next_frame_of_both(compared: Compared) -> None:
    """And the previous one, and none before the first."""
    compared.show("before.mp4", "after.mp4")

    compared.press(".", ".", ".")
    compared.button("forward").click()
    assert frames_shown(compared) == (4, 4)
    compared.press(",")
    assert frames_shown(compared) == (3, 3)
    for _ in range(5):
        compared.button("back").click()
    assert frames_shown(compared) == (0, 0)


def test_both_stop_at_the_same_frame_when_playing_is_paused(compared: Compared) -> None:
    """The frame is the one that was on the screen, not an earlier one."""
    compared.show("before.mp4", "after.mp4")
    compared.button("play").click()
    compared.tab.wait_until("view.querySelector('.compare-seek').valueAsNumber > 12")
    compared.button("play").click()

    left, right = frames_shown(compared)
    assert left == right >= 12
    assert compared.script("view.querySelector('.compare-seek').valueAsNumber") == left
    assert np.ptp(compared.times()) < 1 / RATE


@pytest.mark.parametrize(
    ("after", "timing", "expected"),
    [
        ("slow.mp4", "moment", {0: (0, 0), 21: (10, 10), 47: (23, 23)}),
        ("smooth.mp4", "moment", {0: (0, 0), 21: (10, 10), 47: (23, 23)}),
        ("repeated.mp4", "repeat", {5: (5, 5), 29: (5, 5), 71: (23, 23)}),
        ("round_trips.webm", "round trip", {23: (23, 23), 30: (16, 16), 45: (1, 1), 46: (0, 0), 90: (2, 2)}),
        ("long.mp4", "time", {7: (7, 7), 40: (23, 40)}),
    ],
)
def test_a_longer_result_is_compared_with_the_moments_that_belong_to_it(
    compared: Compared, after: str, timing: str, expected: dict[int, tuple[int, int]]
) -> None:
    """Frame numbers before and after, by steps of the result: slow motion, more frames, loops, and more clips."""
    compared.show("bars.mp4", after, timing)

    for step, numbers in expected.items():
        compared.seek(step)
        assert compared.numbers() == numbers


@pytest.mark.parametrize(("after", "factor"), [("long.mp4", 1), ("slow.mp4", 2)])
def test_both_sides_are_within_a_frame_of_each_other_while_they_play(
    compared: Compared, after: str, factor: int
) -> None:
    """At least half of the time, however busy the machine is."""
    compared.show("bars.mp4" if factor == 2 else "long.mp4", after)
    compared.script(
        """(() => {
          const [before, after] = view.querySelectorAll("video");
          window.pairs = [];
          const note = () => {
            before.paused || pairs.push([before.currentTime, after.currentTime]);
            requestAnimationFrame(note);
          };
          note();
        })()"""
    )
    compared.play_past(40)

    pairs = np.array(compared.script("pairs"))
    assert len(pairs) > 5
    assert np.ptp(pairs[:, 1]) > 1
    assert np.median(np.abs(pairs[:, 0] * factor - pairs[:, 1])) < 1 / RATE


@pytest.mark.parametrize(("after", "timing"), [("slow.mp4", "moment"), ("round_trips.webm", "round trip")])
def test_both_sides_of_different_lengths_play_together(compared: Compared, after: str, timing: str) -> None:
    """Also where the side before runs backwards, which no browser plays."""
    compared.show("bars.mp4", after, timing)
    compared.play_past(30)

    left, right = compared.numbers()
    assert left == right


def test_the_user_chooses_what_a_result_of_another_length_is_compared_with(compared: Compared) -> None:
    """The choice is only there for different lengths, and its sentence names the difference."""
    compared.show("bars.mp4", "slow.mp4")
    row = compared.tab.page.locator(".compare-timing")
    assert "The result is 2 times as long as the original." in row.inner_text()

    row.locator("select").select_option("time")
    compared.seek(11)
    assert compared.numbers() == (11, 5)

    compared.show("bars.mp4", "smooth.mp4")
    assert not row.is_visible()


def test_audio_behind_the_last_frame_is_no_other_length_once_the_frames_are_known(compared: Compared) -> None:
    """As the server tells them, after the browser has shown the file; the frame that is shown stays."""
    row, seek = (compared.tab.page.locator(each) for each in (".compare-timing", ".compare-seek"))
    compared.show("bars.mp4", "tail.mp4", "time")
    expect(row).to_be_visible()
    assert int(seek.get_attribute("max") or 0) > 23
    compared.seek(17)

    compared.script("view.describe([{}, {fps: 24, frames: 24}])")
    expect(row).to_be_hidden()
    expect(seek).to_have_attribute("max", "23")
    assert compared.numbers() == (17, 17)
    expect(compared.tab.page.locator(".compare-facts")).to_contain_text("24 frames · 1 s")
    compared.play_past(20)


def test_the_frames_of_a_gif_are_shown_beside_those_of_its_video(compared: Compared) -> None:
    """At a seek and after playing; the file is fetched once."""
    compared.server.asked.clear()
    compared.show("long.mp4", "bars.gif")

    for step in (0, 1, 20, COUNT - 1):
        compared.seek(step)
        assert compared.numbers() == (step, math.floor((step + 0.5) / RATE / 0.08))
    compared.seek(0)
    compared.play_past(20)
    left, right = compared.numbers()
    assert right == math.floor((left + 0.5) / RATE / 0.08)
    assert compared.server.asked.count("bars.gif") == 1
    assert "12.5 fps · 25 frames · 2 s" in compared.tab.page.locator(".compare-facts").inner_text()


def test_a_gif_and_a_gif_play_together(compared: Compared) -> None:
    """Without any video there is a clock as well."""
    compared.show("bars.gif", "bars.gif")
    compared.play_past(8)

    left, right = compared.numbers()
    assert left == right >= 8


@pytest.mark.parametrize("missing", ["window.ImageDecoder", "HTMLVideoElement.prototype.requestVideoFrameCallback"])
def test_a_browser_that_tells_less_still_compares(browser: Browser, compare_page: StudioPage, missing: str) -> None:
    """A GIF then plays by itself, and steps have the rate that the page knows."""
    with opened_tab(browser, 420, 560) as tab:
        tab.page.add_init_script(f"delete {missing}")
        tab.page.goto(compare_page.url)
        compared = Compared(tab, compare_page)
        compared.show("long.mp4", "bars.gif", fps=24)
        assert compared.script(f"{missing} === undefined")

        compared.press(".", ".", ".")

        assert compared.number(100) == 3


def test_playing_ends_at_the_last_frame_and_begins_again_when_it_loops(compared: Compared) -> None:
    """Play at the end starts at the first frame."""
    compared.show("bars.mp4", "bars.mp4")
    compared.seek(20)
    compared.button("play").click()
    compared.tab.wait_until("view.querySelector('[data-action=play]').title === 'Play'")
    assert compared.numbers() == (23, 23)

    compared.button("loop").click()
    compared.seek(20)
    compared.button("play").click()
    compared.tab.wait_until("view.querySelector('.compare-seek').valueAsNumber < 15")
    assert compared.button("play").get_attribute("aria-label") == "Pause"


def test_only_the_result_is_heard_and_only_if_asked_for(compared: Compared) -> None:
    """Audio is off at first, by the button and by the key."""
    compared.show("bars.mp4", "bars.mp4")
    muted = "[...view.querySelectorAll('video')].map((video) => video.muted)"
    assert compared.script(muted) == [True, True]

    compared.button("audio").click()
    assert compared.script(muted) == [True, False]
    compared.press("m")
    assert compared.script(muted) == [True, True]


def test_both_sides_play_at_the_chosen_speed(compared: Compared) -> None:
    """The side before at half of it, if the result is twice as long."""
    compared.show("bars.mp4", "slow.mp4")
    compared.tab.page.get_by_label("Speed").select_option("0.5")
    compared.button("play").click()
    compared.tab.wait_until("view.querySelector('.compare-seek').valueAsNumber > 3")

    before, after = compared.script("[...view.querySelectorAll('video')].map((video) => video.playbackRate)")
    assert after == 0.5
    assert before == pytest.approx(0.25, rel=0.5)
