"""``<compare-view>`` shows the same frame of both sides, after every seek, step and stop."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rest.studio.conftest import COUNT, RATE, Compared, negative, psnr, resized
from tests.support.clips import Pixels, scene
from tests.support.studio import needs_browser

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
