"""The studio with jobs that wait for the test; a page with one ``<compare-view>``, with clips for both sides."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from framepack.storage.outputs import PUBLIC_ROOT
from tests.support.clips import AudioSpec, Pixels, Spec, barred, bars_of, make_clip, scene
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread
from tests.support.studio import Tab, opened_tab
from tests.support.studio_page import StudioPage, studio_page
from tests.support.studio_walk import Studio
from tests.support.transparency import animation

RATE: Final = Fraction(24)
COUNT: Final = 48
RATES: Final = dict.fromkeys(
    ("before.mp4", "after.mp4", "bars.mp4", "slow.mp4", "repeated.mp4", "long.mp4", "tail.mp4"), 24
)
"""Frames per second that a page knows; the element measures those of other videos."""
_SCRIPT: Final = """import "./compare.js";
const view = document.createElement("compare-view");
document.querySelector("main").append(view);
window.view = view;
"""
_SETTLED: Final = """
new Promise((done) => {
  // A seek that waits for another one begins a moment after that one has ended.
  let still = 0;
  const look = () => {
    const seeks = [...view.querySelectorAll("video")].some((video) => video.seeking);
    still = seeks ? 0 : still + 1;
    still < 5 ? requestAnimationFrame(look) : done();
  };
  look();
})
"""
"""Ends when no video of the element has sought for some frames of the page."""
_EDGE: Final = 28
"""Pixels beside the divider that its handle may cover."""


def negative(index: int, width: int, height: int) -> Pixels:
    """The frames of the side after: the colors of `scene` inverted, in twice the size."""
    return np.repeat(np.repeat(255 - scene(index, width // 2, height // 2), 2, 0), 2, 1)


@dataclass(frozen=True)
class Box:
    """A rectangle of the window."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Compared:
    """The element in a tab."""

    tab: Tab
    server: StudioPage
    place: str = "main"

    def show(self, before: str, after: str, *more: str, **known: Any) -> None:
        """Show two of the server's files; ``known`` is told of both, by default the rate of a video."""
        sides = [
            {
                "url": name,
                "kind": "image" if name.endswith((".gif", ".png", ".webp")) else "video",
                "label": label,
                **(known or {"fps": RATES.get(name)}),
            }
            for name, label in ((before, "Before"), (after, "After"))
        ]
        self.tab.page.evaluate("async (all) => { await view.show(...all); }", [*sides, *more])

    def script(self, expression: str) -> Any:
        """The value of a JavaScript expression; ``view`` is the element."""
        return self.tab.page.evaluate(expression)

    def times(self) -> list[float]:
        """Where each video is, once none of them seeks and no seek waits for another one."""
        self.script(_SETTLED)
        return list(self.script("[...view.querySelectorAll('video')].map((video) => video.currentTime)"))

    def button(self, action: str) -> Any:
        """A button of the controls."""
        return self.tab.page.locator(f'{self.place} [data-action="{action}"]')

    def press(self, *keys: str) -> None:
        """Press keys while the divider has the focus."""
        self.tab.page.focus(f"{self.place} .compare-divider")
        for key in keys:
            self.tab.page.keyboard.press(key)

    def seek(self, step: int) -> None:
        """Drag the seek bar to a frame, from 0."""
        self.tab.page.locator(f"{self.place} .compare-seek").fill(str(step))
        self.times()

    def stage(self) -> Pixels:
        """What is on the stage, without the labels at its top."""
        self.times()
        # A frame that was sought is drawn with the next one of the page.
        self.script("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        shot = self.tab.page.locator(f"{self.place} .compare-stage").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def numbers(self) -> tuple[int, int]:
        """The frame numbers that both sides show, which `barred` drew; each side is shown whole for it."""
        return self.number(100), self.number(0)

    def number(self, position: int) -> int:
        """The frame number that is on the stage while the divider is there."""
        self.script(f"view.position = {position}")
        found: list[int] = []
        while len(found) < 2 or found[-1] != found[-2]:  # a frame may be on the screen later than its seek ends
            self.tab.page.wait_for_timeout(50 * len(found))
            found.append(bars_of(self.stage()))
        return found[-1]

    def play_past(self, step: int) -> None:
        """Play until a frame is passed, then pause."""
        self.button("play").click()
        self.tab.wait_until(f"view.querySelector('.compare-seek').valueAsNumber > {step}")
        self.button("play").click()
        self.tab.wait_until("view.querySelector('[data-action=play]').title === 'Play'")

    def rect(self, selector: str) -> Box:
        """Where an element is, in pixels of the window."""
        x, y, width, height = self.script(
            f"(({{x, y, width, height}}) => [x, y, width, height])"
            f"(view.querySelector({selector!r}).getBoundingClientRect())"
        )
        return Box(x, y, width, height)

    def halves(self) -> tuple[Pixels, Pixels]:
        """What is on the stage left and right of the divider, beside its handle and below the labels."""
        shown = self.stage()
        at = round(shown.shape[1] * self.script("view.position") / 100)
        return shown[60:, : max(0, at - _EDGE)], shown[60:, at + _EDGE :]


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2))))


def resized(frame: Pixels, width: int, height: int) -> Pixels:
    """A frame as a browser enlarges it."""
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seconds of `scene` at 24 frames per second, its negative in twice the size, and clips of `barred`."""
    folder = tmp_path_factory.mktemp("clips")

    def bars(count: int, shown: Callable[[int], int], fps: Fraction = RATE) -> Spec:
        return Spec(size=(128, 96), fps=fps, count=count, frame=lambda index, *size: barred(shown(index), *size))

    specs = {
        "before.mp4": Spec(size=(96, 64), fps=RATE, count=COUNT),
        "after.mp4": Spec(size=(192, 128), fps=RATE, count=COUNT, frame=negative),
        "bars.mp4": bars(24, lambda index: index),
        "slow.mp4": bars(48, lambda index: index // 2),
        "smooth.mp4": bars(48, lambda index: index // 2, 2 * RATE),
        "repeated.mp4": bars(72, lambda index: index % 24),
        "round_trips.webm": bars(92, lambda index: min(index % 46, 46 - index % 46)),
        "long.mp4": bars(48, lambda index: index),
        "tail.mp4": replace(bars(24, lambda index: index), audio=AudioSpec(seconds=1.3)),
    }
    made = {name: make_clip(folder / name, spec) for name, spec in specs.items()}
    made["bars.gif"] = animation(folder / "bars.gif", barred, (128, 96), [80] * 25)
    made["broken.mp4"] = folder / "broken.mp4"
    made["broken.mp4"].write_bytes(b"This is no video." * 100)
    return made


@pytest.fixture(scope="module")
def compare_page(clips: dict[str, Path]) -> Iterator[StudioPage]:
    """The server of the page and the clips."""
    with studio_page(_SCRIPT, "compare.css") as page:
        page.files.update(clips)
        yield page


@pytest.fixture(scope="module")
def compare_tab(browser: Browser) -> Iterator[Tab]:
    """A small window."""
    with opened_tab(browser, 420, 560) as tab:
        yield tab


@pytest.fixture
def compared(compare_tab: Tab, compare_page: StudioPage) -> Iterator[Compared]:
    """The element in a window where it is loaded anew."""
    compare_tab.page.mouse.move(0, 0)
    compare_tab.page.goto(compare_page.url)
    yield Compared(compare_tab, compare_page)
    assert compare_tab.faults == []


@dataclass
class Held:
    """A server whose jobs wait for the test, though it analyzes and previews by itself."""

    server: LocalServer
    backend: HeldBackend
    clip: Path

    def finish(self, job_id: str, ending: str = ".mp4") -> None:
        """End a job with an uploaded clip as its result."""
        storage = self.server.server.runtime.storage
        names = [each.key for each in storage.list() if each.key.text.startswith("uploads/")]
        key = next(each for each in names if each.text.endswith(ending))
        self.backend.wait_for(job_id).finish(
            success=True, message="Done", output_path=f"{PUBLIC_ROOT}{key}", output_url=storage.url(key)
        )


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """The server, and a clip."""
    folder = tmp_path_factory.mktemp("held")
    clip = make_clip(folder / "a clip.mp4", Spec(size=(96, 64)))
    backend = HeldBackend()
    with server_in_thread(folder, backend) as server:
        yield Held(server, backend, clip)


@pytest.fixture
def studio(tab: Tab, held: Held) -> Iterator[Studio]:
    """The page, with the clip. No job is left at the end."""
    studio = Studio(tab, held.server)
    studio.open()
    studio.choose(held.clip)
    yield studio
    for job in held.backend.held.values():
        job.finish()
