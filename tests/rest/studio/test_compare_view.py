"""``<compare-view>`` under pointers and keys: divider, zoom, flip, loupe, arrangements, labels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.rest.studio.conftest import RATE, Compared, negative, psnr, resized
from tests.support.clips import Spec, add_video, frames_of, scene
from tests.support.codings import encoded
from tests.support.studio import needs_browser, opened_tab
from tests.support.studio_page import StudioPage
from tests.support.transparency import ALPHA, glass

pytestmark = needs_browser

X = "\N{MULTIPLICATION SIGN}"
BEFORE, AFTER = scene(0, 96, 64), negative(0, 192, 128)


def sides_shown(compared: Compared, step: int = 0) -> str:
    """Which side is left and which is right of the divider, such as "before after"."""
    shown = compared.stage()
    height, width, _ = shown.shape
    frames = {"before": scene(step, 96, 64), "after": negative(step, 192, 128)}
    names = []
    for half in (slice(30, width // 2 - 30), slice(width // 2 + 30, width - 30)):
        likeness = {
            name: psnr(shown[60:, half], resized(frame, width, height)[60:, half]) for name, frame in frames.items()
        }
        name, best = max(likeness.items(), key=lambda item: item[1])
        names.append(name if best > 27 else f"neither, {likeness}")
    return " ".join(names)


@pytest.fixture
def shown(compared: Compared) -> Compared:
    """The element with the two clips."""
    compared.show("before.mp4", "after.mp4")
    return compared


def test_keys_move_the_divider_as_a_slider(shown: Compared) -> None:
    """Arrows, page keys, Home and End, between 0 and 100."""
    slider = shown.tab.page.get_by_role("slider", name="Divider between before and after")
    moves = {"ArrowRight": 51, "ArrowLeft": 50, "PageUp": 60, "PageDown": 50, "End": 100, "ArrowUp": 100, "Home": 0}

    for key, value in moves.items():
        shown.press(key)
        assert slider.get_attribute("aria-valuenow") == str(value), key

    assert slider.get_attribute("aria-valuetext") == "0 % before"
    assert sides_shown(shown) == "after after"
    shown.press("End")
    assert sides_shown(shown) == "before before"


def test_the_mouse_drags_the_divider_from_anywhere_on_the_stage(shown: Compared) -> None:
    """It goes where the pointer is, also beyond the edge."""
    mouse, stage = shown.tab.page.mouse, shown.rect(".compare-stage")
    mouse.move(stage.x + stage.width * 0.2, stage.y + 90)
    mouse.down()
    mouse.move(stage.x + stage.width * 0.7, stage.y + 100, steps=3)
    assert shown.script("view.position") == pytest.approx(70, abs=0.5)
    handle = shown.rect(".compare-divider")
    assert handle.x + handle.width / 2 == pytest.approx(stage.x + stage.width * 0.7, abs=1)

    mouse.move(stage.x + stage.width * 2, stage.y)
    mouse.up()
    mouse.move(stage.x + stage.width * 0.1, stage.y + 90)
    assert shown.script("view.position") == 100


def test_fingers_drag_the_divider_and_pinch_both_sides(browser: Browser, compare_page: StudioPage) -> None:
    """The place between two fingers stays between them."""
    with opened_tab(browser, 360, 640, has_touch=True, is_mobile=True) as tab:
        tab.page.goto(compare_page.url)
        compared = Compared(tab, compare_page)
        compared.show("before.mp4", "after.mp4")
        stage = compared.rect(".compare-stage")
        device = tab.page.context.new_cdp_session(tab.page)

        def touch(kind: str, *places: float) -> None:
            points = [
                {"x": stage.x + stage.width * place, "y": stage.y + 100, "id": index}
                for index, place in enumerate(places)
            ]
            device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        for kind, *places in (("touchStart", 0.5), ("touchMove", 0.4), ("touchMove", 0.3), ("touchEnd",)):
            touch(str(kind), *map(float, places))
        tab.wait_until("Math.abs(view.position - 30) < 1")

        touch("touchStart", 0.4, 0.6)
        for spread in (0.15, 0.2, 0.25, 0.3):
            touch("touchMove", 0.5 - spread, 0.5 + spread)
        touch("touchEnd")
        tab.wait_until("view.querySelector('[data-action=fit]').textContent.startsWith('3.0')")
        before, after = compared.rect("[data-side=before] video"), compared.rect("[data-side=after] video")
        assert before == after
        assert before.x + before.width / 2 == pytest.approx(stage.x + stage.width / 2, abs=3)
        assert compared.script("view.position") == pytest.approx(30, abs=1)


def test_the_wheel_zooms_both_sides_at_the_pointer_and_a_drag_moves_them(shown: Compared) -> None:
    """Both sides show the same part, in the pixels of the files once those are larger than pixels of the screen."""
    page, stage = shown.tab.page, shown.rect(".compare-stage")
    pointer = (stage.x + stage.width * 0.75, stage.y + stage.height * 0.6)
    page.mouse.move(*pointer)
    for _ in range(3):
        page.mouse.wheel(0, -200)
    shown.tab.wait_until("view.querySelector('[data-action=fit]').textContent.startsWith('4.5')")

    def assert_aligned() -> None:
        before, after = shown.rect("[data-side=before] video"), shown.rect("[data-side=after] video")
        assert before == after
        left, right = shown.halves()
        for half, frame, is_right in ((left, BEFORE, False), (right, AFTER, True)):
            large = resized(frame, round(after.width), round(after.height))
            top, begin = round(stage.y - after.y) + 60, round(stage.x - after.x)
            begin += round(stage.width) - half.shape[1] if is_right else 0
            assert psnr(half, large[top : top + half.shape[0], begin : begin + half.shape[1]]) > 30

    after = shown.rect("[data-side=after] video")
    assert ((pointer[0] - after.x) / after.width, (pointer[1] - after.y) / after.height) == pytest.approx(
        (0.75, 0.6), abs=0.01
    )
    assert_aligned()
    assert shown.script("getComputedStyle(view.querySelector('video')).imageRendering") == "pixelated"

    page.mouse.down()
    page.mouse.move(pointer[0] + 90, pointer[1] + 40, steps=3)
    page.mouse.up()
    moved = shown.rect("[data-side=after] video")
    assert (moved.x - after.x, moved.y - after.y) == pytest.approx((90, 40), abs=1)
    assert shown.script("view.position") == 50
    assert_aligned()


def test_keys_and_buttons_zoom_up_to_eight_times_and_back(shown: Compared) -> None:
    """Panning stops at the edge, so that the stage stays full."""
    label = shown.button("fit")
    shown.press("+", "+")
    assert label.inner_text() == f"2.4{X}"
    for _ in range(6):
        shown.button("zoom-in").click()
    assert label.inner_text() == f"8.0{X}"
    shown.press(*["Shift+ArrowRight"] * 60, *["Shift+ArrowDown"] * 60)
    stage, after = shown.rect(".compare-stage"), shown.rect("[data-side=after] video")
    assert (after.x + after.width, after.y + after.height) == pytest.approx(
        (stage.x + stage.width, stage.y + stage.height), abs=0.5
    )

    shown.press("0")
    assert label.inner_text() == "Fit"
    assert shown.button("zoom-out").is_disabled()
    assert shown.rect("[data-side=after] video") == stage


def test_holding_space_or_the_button_shows_the_side_before_whole(shown: Compared) -> None:
    """What was there comes back: the divider, or in the arrangement "Flip" the side after."""
    page = shown.tab.page
    hold = shown.button("hold").bounding_box()
    assert hold is not None
    seen = []
    for arrangement in ("Divider", "Flip"):
        page.get_by_role("button", name=arrangement, exact=True).click()
        if arrangement == "Divider":
            page.focus(".compare-divider")
        else:
            page.focus(".compare-seek")
        page.keyboard.down(" ")
        seen.append(sides_shown(shown))
        page.keyboard.up(" ")
        seen.append(sides_shown(shown))
        page.mouse.move(hold["x"] + 10, hold["y"] + 10)
        page.mouse.down()
        seen.append(sides_shown(shown))
        page.mouse.up()
        seen.append(sides_shown(shown))

    assert (
        seen
        == ["before before", "before after", "before before", "before after"] + ["before before", "after after"] * 2
    )


def test_the_loupe_shows_the_place_under_the_pointer_in_both_sides(shown: Compared) -> None:
    """While its key is held; the middle of each lens is the pixel of the file there."""
    page, stage = shown.tab.page, shown.rect(".compare-stage")
    page.focus(".compare-divider")
    page.keyboard.down("l")
    page.mouse.move(stage.x + stage.width * 0.3, stage.y + stage.height * 0.7)
    shown.tab.wait_until("!view.querySelector('.compare-loupe').hidden")
    shown.stage()

    left, right = shown.script(
        """[0.248, 0.752].map((share) => {
          const canvas = view.querySelector("canvas");
          const [x, y] = [Math.round(canvas.width * share), Math.round(canvas.height / 2)];
          return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
        })"""
    )
    assert left == pytest.approx(BEFORE[int(64 * 0.7), int(96 * 0.3)].tolist(), abs=14)
    assert right == pytest.approx(AFTER[int(128 * 0.7), int(192 * 0.3)].tolist(), abs=14)
    page.keyboard.up("l")
    assert not page.locator(".compare-loupe").is_visible()


def test_side_by_side_shows_both_sides_whole(shown: Compared) -> None:
    """At the same size; the key leads there and back."""
    shown.press("s")
    left, right = shown.rect("[data-side=before] video"), shown.rect("[data-side=after] video")
    assert (left.width, left.height) == (right.width, right.height)
    assert left.y + left.height <= right.y or left.x + left.width <= right.x
    page = shown.tab.page
    for side, frame in (("before", BEFORE), ("after", AFTER)):
        path = f"[data-side={side}] video"
        box = shown.rect(path)
        shot = page.screenshot(clip={"x": box.x, "y": box.y, "width": box.width, "height": box.height})
        pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))
        assert psnr(pixels[50:], resized(frame, pixels.shape[1], pixels.shape[0])[50:]) > 30


def test_full_screen_has_room_for_the_stage_and_its_controls(shown: Compared) -> None:
    """By the key, and back."""
    shown.press("f")
    shown.tab.wait_until("document.fullscreenElement === view")
    stage, controls = shown.rect(".compare-stage"), shown.rect(".compare-controls")
    assert (stage.y >= 0, controls.y + controls.height <= 560) == (True, True)
    shown.press("f")
    shown.tab.wait_until("document.fullscreenElement === null")


def test_the_labels_name_size_rate_frames_length_and_file_size(compared: Compared) -> None:
    """The element measures the rate that nobody tells it."""
    compared.show("before.mp4", "after.mp4", bytes=1_234_567)

    texts = compared.tab.page.locator(".compare-facts dd").all_inner_texts()
    assert texts == [f"{size} · 24 fps · 48 frames · 2 s · 1.23 MB" for size in (f"96 {X} 64", f"192 {X} 128")]


def test_the_next_version_of_the_same_clip_keeps_the_frame_the_zoom_and_the_divider(shown: Compared) -> None:
    """As of a preview whose settings have changed."""
    shown.press("+", "+", "ArrowRight")
    shown.seek(11)

    shown.show("before.mp4", "after.mp4")

    assert shown.script("view.querySelector('.compare-seek').valueAsNumber") == 11
    assert shown.button("fit").inner_text() == f"2.4{X}"
    assert shown.script("view.position") == 51


def test_the_last_of_several_calls_decides_what_is_shown(compared: Compared) -> None:
    """And after `clear` nothing is."""
    compared.script(
        """(async () => {
          const [a, b] = ["before.mp4", "after.mp4"].map((url) => ({ url, kind: "video", label: url, fps: 24 }));
          await Promise.all([view.show(a, b), view.show(b, a)]);
        })()"""
    )
    assert compared.tab.page.locator(".compare-tag").all_inner_texts() == ["after.mp4", "before.mp4"]
    assert compared.script("view.querySelectorAll('video').length") == 2

    compared.script("Promise.all([view.show(null, {url: 'after.mp4', kind: 'video', label: 'x'}), view.clear()])")
    assert compared.script("view.hidden && view.querySelectorAll('video').length === 0")


def test_a_call_ends_whenever_the_element_is_cleared(compared: Compared) -> None:
    """While it loads, measures or seeks: whoever waits for it goes on."""
    assert compared.script(
        """(async () => {
          const sides = ["before.mp4", "after.mp4"].map((url) => ({ url, kind: "video", label: url }));
          for (let ms = 0; ms < 400; ms += 80) {
            const shown = view.show(...sides);
            await new Promise((resolve) => setTimeout(resolve, ms));
            view.clear();
            await shown;
          }
          return view.hidden;
        })()"""
    )


def test_a_side_alone_is_shown_without_a_divider(compared: Compared) -> None:
    """If the page no longer has the source."""
    compared.script("view.show(null, {url: 'after.mp4', kind: 'video', label: 'After', fps: 24})")

    assert sides_shown(compared) == "after after"
    assert not compared.tab.page.get_by_role("slider", name="Divider").is_visible()
    assert not compared.button("hold").is_visible()


def test_a_side_that_the_browser_cannot_play_has_a_sentence_and_the_other_one_is_shown(compared: Compared) -> None:
    """A file that is no video, and one that is not there."""
    for name, sentence in (
        ("broken.mp4", "This browser cannot play this video (video/mp4)."),
        ("nowhere.mp4", "This file does not exist any more."),
    ):
        compared.show(name, "after.mp4", mime="video/mp4")

        problem = compared.tab.page.locator("[data-side=before] .compare-problem").inner_text()
        assert problem == sentence
        assert sides_shown(compared).endswith(" after")
        compared.press(".")
        assert sides_shown(compared, 1).endswith(" after")


def test_images_are_compared_without_playback(compared: Compared, tmp_path: Path) -> None:
    """As of a preview of one frame."""
    for name, frame in (("before.png", BEFORE), ("after.png", AFTER)):
        Image.fromarray(frame).save(tmp_path / name)
        compared.server.files[name] = tmp_path / name

    compared.show("before.png", "after.png")

    assert sides_shown(compared) == "before after"
    assert not compared.button("play").is_visible()
    assert compared.tab.page.locator(".compare-facts dd").all_inner_texts() == [f"96 {X} 64", f"192 {X} 128"]


def test_transparent_parts_of_a_webm_are_shown_on_a_checkerboard(compared: Compared, tmp_path: Path) -> None:
    """Where it is opaque, nothing of it is seen."""
    compared.server.files["glass.webm"] = encoded(tmp_path, ALPHA[0], glass, [(128, 96)], 5)
    compared.show("glass.webm", "glass.webm", mime="video/webm")
    compared.script("view.position = 0")

    shown = compared.stage()
    height, width, _ = shown.shape
    left = shown[height // 2 : height * 3 // 4, width // 8 : width * 3 // 8]
    right = shown[height // 2 : height * 3 // 4, width * 5 // 8 : width * 7 // 8]
    assert sorted({round(value, -1) for value in left[::5, ::5].flatten().tolist()}) == [180, 230]
    assert np.abs(right.reshape(-1, 3).astype(int) - (20, 200, 30)).max() < 20


@dataclass
class Pipe:
    """A file that cannot be sought in, so that its muxer cannot write the duration at its beginning."""

    write: Callable[[bytes], int]


def test_a_recording_without_a_duration_can_be_sought(compared: Compared, tmp_path: Path) -> None:
    """As browsers record."""
    path, spec = tmp_path / "live.webm", Spec(size=(96, 64), fps=RATE, count=24)
    with path.open("wb") as file, av.open(Pipe(file.write), "w", format="webm") as output:
        stream = add_video(output, spec, ".webm")
        for frame in [*frames_of(spec, stream), None]:
            output.mux(stream.encode(frame))
    with av.open(path) as recording:
        assert recording.duration is None
    compared.server.files["live.webm"] = path

    compared.show("live.webm", "live.webm", fps=24, frames=24)

    compared.seek(13)
    assert compared.times() == pytest.approx([13.5 / 24] * 2, abs=0.02)
    assert compared.script("view.querySelector('.compare-seek').max") == "23"


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_the_element_is_accessible_and_fits_the_window(
    browser: Browser, compare_page: StudioPage, width: int, scheme: str
) -> None:
    """Every control is 44 pixels large, in phones and on desktops, with the list of keys open."""
    with opened_tab(browser, width, 740, color_scheme=scheme) as tab:
        tab.page.goto(compare_page.url)
        compared = Compared(tab, compare_page)
        compared.show("bars.mp4", "slow.mp4")
        compared.press("?")

        assert tab.accessibility_violations == ""
        assert compared.script("document.documentElement.scrollWidth") == width
        sizes = compared.script(
            "[...view.querySelectorAll('button, select, input, [role=slider]')].filter((each) => each.offsetWidth)"
            ".map((each) => [each.title, each.offsetWidth, each.offsetHeight])"
        )
        assert len(sizes) > 15
        assert [each for each in sizes if min(each[1:]) < 44] == []
