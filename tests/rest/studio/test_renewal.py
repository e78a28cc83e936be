"""A comparison whose files cannot be read any more while it is open, such as by links that have expired."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.rest.studio.conftest import Compared, Held
from tests.support.clips import Spec, barred, bars_of, make_clip
from tests.support.http_server import Answer
from tests.support.rest_server import KEY, HeldBackend, RestServer, server_in_thread, upload
from tests.support.studio import Tab, needs_browser, opened_tab
from tests.support.studio_page import StudioPage, studio_page
from tests.support.studio_walk import Studio

pytestmark = needs_browser

_LIFETIME_SECONDS: Final = 6
_COUNT: Final = 240
_PLAYABLE: Final = "[...view.querySelectorAll('video')].filter((each) => each.readyState >= 2).length === {}"
_STEP: Final = "view.querySelector('.compare-seek').valueAsNumber"


def large_clip(path: Path) -> Path:
    """Thirty seconds of `barred`, filled up to 30 MB: a browser reads a third of it ahead."""
    rate = "nal-hrd=cbr:bitrate=8000:vbv-maxrate=8000:vbv-bufsize=8000"
    options = {"g": "8", "preset": "ultrafast", "x264-params": rate}
    return make_clip(path, Spec(size=(128, 96), fps=Fraction(8), count=_COUNT, frame=barred, options=options))


class Watched(Compared):
    """The comparison of a result on the studio's page, with what its server refused."""

    def __init__(self, tab: Tab) -> None:
        super().__init__(tab, StudioPage(), "#result")
        self.refused: list[str] = []
        tab.page.on("response", lambda each: self.refused.append(each.url) if each.status == 401 else None)

    def begin(self, sides: int = 2) -> None:
        """Wait until its sides are there."""
        expect(self.tab.page.locator("#result-part")).to_be_visible()
        self.script("window.view = document.querySelector('#result compare-view')")
        self.tab.wait_until(_PLAYABLE.format(sides))

    def outlive_links(self) -> None:
        """Wait until the links of now have expired."""
        self.tab.page.wait_for_timeout(1000 * _LIFETIME_SECONDS + 1000)
        self.refused.clear()


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A server whose links are valid for a moment, and a large clip."""
    folder, backend = tmp_path_factory.mktemp("brief"), HeldBackend()
    with server_in_thread(folder, backend, url_lifetime_seconds=_LIFETIME_SECONDS) as server:
        yield Held(server, backend, large_clip(folder / "large.mp4"))


@pytest.fixture
def shown(tab: Tab, brief: Held) -> Watched:
    """A large result beside its source, which is the same clip."""
    studio, watched = Studio(tab, brief.server), Watched(tab)
    studio.open()
    studio.choose(brief.clip)
    studio.operation("loop")
    brief.finish(studio.run())
    watched.begin()
    return watched


def test_a_paused_comparison_whose_link_has_expired_shows_the_frame_that_is_sought(shown: Watched) -> None:
    """By a new link, and plays on from there; again after that one has expired, too."""
    shown.outlive_links()
    shown.seek(200)
    shown.tab.wait_until(_PLAYABLE.format(2))
    assert (shown.numbers(), len(shown.refused) > 0) == ((200, 200), True)

    shown.outlive_links()
    shown.seek(100)
    shown.tab.wait_until(_PLAYABLE.format(2))
    shown.play_past(130)
    before, after = shown.numbers()
    assert before == after > 130
    assert shown.tab.page.locator("#result .compare-problem").all_text_contents() == ["", ""]


def test_an_expired_link_to_a_bucket_that_the_page_cannot_read_is_replaced(
    compared: Compared, compare_page: StudioPage, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is hidden from the page, which is of another origin."""
    with studio_page("") as bucket:
        bucket.files["new.mp4"] = clips["bars.mp4"]
        bucket.answers["/old.mp4"] = Answer(403)
        allowed = compare_page.policy.replace("media-src", f"media-src {bucket.url}")
        allowed = allowed.replace("connect-src", f"connect-src {bucket.url}")
        monkeypatch.setattr(compare_page, "policy", allowed)
        compared.tab.page.reload()
        compared.script(
            f"""view.show(null, {{ url: "{bucket.url}old.mp4", kind: "video", label: "After", fps: 24,
              renew: async () => "{bucket.url}new.mp4" }})"""
        )
        compared.seek(7)
        assert bars_of(compared.stage()) == 7


def test_a_video_that_is_damaged_in_the_middle_stops_there_with_a_sentence(
    compared: Compared, compare_page: StudioPage, tmp_path: Path
) -> None:
    """It is opened once more, and not again and again."""
    clip = make_clip(tmp_path / "damaged.mp4", Spec(size=(128, 96), fps=Fraction(8), count=24, frame=barred))
    with av.open(str(clip)) as container:
        places = [(each.pos or 0, each.size) for each in container.demux(video=0) if each.size]
    content = bytearray(clip.read_bytes())
    for place, size in places[12:]:
        content[place : place + size] = b"\xff" * size
    clip.write_bytes(content)
    compare_page.files["damaged.mp4"] = clip

    compared.show("bars.mp4", "damaged.mp4", "time", fps=8, frames=24)
    compare_page.asked.clear()
    compared.button("play").click()
    problem = compared.tab.page.locator("[data-side=after] .compare-problem")
    expect(problem).to_have_text("This browser cannot play this video.")
    compared.tab.page.wait_for_timeout(3000)
    assert compare_page.asked.count("damaged.mp4") < 10
    expect(compared.button("play")).to_have_attribute("title", "Play")


def test_a_comparison_whose_server_sends_its_file_no_more_says_so_until_it_is_back(shown: Watched) -> None:
    """The last frame stays below the sentence, and it plays on from the frame that was sought."""
    page, sentence = shown.tab.page, shown.tab.page.locator("#result [data-side=after] .compare-problem")
    failing = {"detail": "no", "code": "unavailable"}

    def refuse(route: Route) -> None:
        route.fulfill(status=503, json=failing)

    page.route("**/outputs/**", refuse)
    page.locator("#result .compare-seek").fill("200")
    expect(sentence).to_have_text("The server cannot send this file at the moment.")
    assert page.locator("#result video").count() == 2
    page.unroute("**/outputs/**", refuse)

    shown.play_past(205)
    expect(sentence).to_have_text("")
    before, after = shown.numbers()
    assert before == after > 205


@pytest.mark.slow
def test_a_comparison_that_plays_while_its_server_starts_again_plays_on(browser: Browser, tmp_path: Path) -> None:
    """Though its link has expired in between, and no frame is shown twice."""
    clip = large_clip(tmp_path / "large.mp4")
    with (
        RestServer(tmp_path, url_lifetime_seconds=str(_LIFETIME_SECONDS)) as server,
        opened_tab(browser) as tab,
    ):
        path = upload(server, clip.read_bytes()).json()["video_url"]
        job = server.start_job("/postprocess/loop", {"video_url": path, "num_loops": 2})
        server.wait_for(job, "completed")
        shown = Watched(tab)
        tab.page.goto(f"{server.url}/#key={KEY}")
        expect(tab.page.locator("#parts")).to_be_visible()
        tab.page.goto(f"{server.url}/#job={job}")
        shown.begin(1)
        shown.outlive_links()

        shown.button("play").click()
        port = int(server.url.rpartition(":")[2])
        server.kill()
        server.start(port=port)
        tab.wait_until(f"{_STEP} > 200", seconds=60)
        assert len(shown.refused) > 0
        assert shown.script("view.querySelector('[data-action=play]').title") == "Pause"
