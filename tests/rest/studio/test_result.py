"""The result view of the studio shows every kind of answer, with what can be done with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from framepack.storage.keys import Key
from framepack.storage.outputs import PUBLIC_ROOT
from tests.rest.studio.conftest import RATE, negative
from tests.support.clips import Spec, barred, make_clip
from tests.support.rest_server import KEY, HeldBackend, LocalServer, server_in_thread
from tests.support.studio import Tab, needs_browser
from tests.support.transparency import animation

pytestmark = needs_browser

Files = tuple[LocalServer, dict[str, dict[str, Any]]]
"""A server, and the parts of an answer for each file in its store."""

_SCRIPT = """async () => {
  const [{ resultView }, { Api }] = await Promise.all([import("./studio/result.js"), import("./studio/api.js")]);
  const api = new Api(new URL("./", document.baseURI));
  api.key = KEY;
  window.calls = [];
  window.view = resultView(api, {
    onContinue: (path) => calls.push(["continue", path]),
    onFrames: (folder) => calls.push(["frames", folder]),
  });
  document.querySelector("main").replaceChildren(view.element);
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """A server with a video, a GIF, an archive and an image."""
    folder = tmp_path_factory.mktemp("result")
    made = [
        make_clip(folder / "clip.mp4", Spec(size=(192, 128), fps=RATE, count=36, frame=negative)),
        animation(folder / "clip.gif", barred, (128, 96), [100] * 10),
        animation(folder / "sheet.png", barred, (128, 96), [100]),
    ]
    (folder / "frames.zip").write_bytes(b"PK\5\6" + bytes(18))
    answers = {}
    with server_in_thread(folder, HeldBackend()) as server:
        storage = server.server.runtime.storage
        for path in [*made, folder / "frames.zip"]:
            key = Key(f"postprocessed_output/temp_processing/{path.name}")
            storage.put_bytes(key, path.read_bytes())
            answers[path.name] = {
                "output_path": f"{PUBLIC_ROOT}{key}",
                "output_url": storage.url(key),
                "output_filename": path.name,
                "output_file_size": path.stat().st_size,
            }
        yield server, answers


@pytest.fixture
def opened(tab: Tab, files: Files) -> Tab:
    """A page of the server with a result view alone."""
    tab.page.goto(f"{files[0].url}/")
    tab.page.evaluate(_SCRIPT.replace("KEY", json.dumps(KEY)))
    return tab


def show(tab: Tab, answer: dict[str, Any], source: dict[str, Any] | None = None, **more: Any) -> None:
    """Show an answer, by default without a source."""
    tab.page.evaluate(
        "async (shown) => { await view.show(shown); }",
        {"operation": "filters", "source": source, "answer": {"success": True, **answer}, **more},
    )


def source_of(tab: Tab, clip: Path) -> dict[str, Any]:
    """A side before from a file that a person has chosen."""
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('input'), {type: 'file', id: 'own'}))"
    )
    tab.page.set_input_files("#own", clip)
    url = tab.page.evaluate("URL.createObjectURL(document.querySelector('#own').files[0])")
    tab.page.evaluate("document.querySelector('#own').remove()")
    return {"url": url, "kind": "video", "label": "Before", "mime": "video/mp4", "bytes": clip.stat().st_size}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip before."""
    return make_clip(tmp_path_factory.mktemp("source") / "source.mp4", Spec(size=(96, 64), fps=RATE, count=36))


def test_a_video_is_compared_with_its_source_downloaded_and_used_as_the_next_source(
    opened: Tab, files: Files, source: Path
) -> None:
    """The source is the file that the page has, so the server is not asked for it."""
    page, answer = opened.page, files[1]["clip.mp4"]
    before = source_of(opened, source)
    opened.requests.clear()
    show(opened, {**answer, "message": "Done.", "warnings": ["One frame could not be read."]}, before)

    facts = page.locator(".compare-facts dd").all_inner_texts()
    assert [text.split(" · ")[1:4] for text in facts] == [["24 fps", "36 frames", "1.5 s"]] * 2
    expect(page.locator(".result-message")).to_have_text("Done.")
    warnings = page.get_by_role("list", name="Warnings").get_by_role("listitem")
    expect(warnings).to_have_text("One frame could not be read.")
    asked = {url.partition("?")[0].rpartition("/")[2] for url in opened.requests if not url.startswith("blob:")}
    assert asked == {"clip.mp4", "analyze"}

    page.get_by_role("button", name="Continue with this").click()
    assert page.evaluate("calls") == [["continue", answer["output_path"]]]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "clip.mp4"
    assert download.value.path().stat().st_size == answer["output_file_size"]
    assert opened.accessibility_violations == ""


def test_a_longer_result_is_compared_as_its_operation_has_made_it(opened: Tab, files: Files, source: Path) -> None:
    """The user may choose another way."""
    before = source_of(opened, source)
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("loop", {"loop_type": "loop"}, "repeat"),
        ("loop", {"loop_type": "ping-pong"}, "round trip"),
        ("pipeline", {"operations": [{"type": "loop", "params": {"loop_type": "ping_pong"}}]}, "round trip"),
        ("join", {}, "time"),
        ("interpolate", {"speed_factor": 0.5}, "moment"),
    ]
    for operation, body, timing in cases:
        show(opened, files[1]["clip.gif"], before, operation=operation, body=body)
        assert opened.page.locator(".compare-timing select").input_value() == timing


def test_a_gif_and_a_result_without_its_source_are_shown(opened: Tab, files: Files) -> None:
    """As in a page that was loaded anew."""
    show(opened, files[1]["clip.gif"])

    expect(opened.page.locator("compare-view canvas").first).to_be_visible()
    assert "10 fps · 10 frames · 1 s" in opened.page.locator(".compare-facts").inner_text()


def test_a_file_that_browsers_do_not_show_can_be_downloaded(opened: Tab, files: Files) -> None:
    """It cannot be the next source."""
    show(opened, files[1]["clip.mp4"])
    show(opened, files[1]["frames.zip"])

    expect(opened.page.get_by_role("link", name="Download")).to_have_attribute("download", "frames.zip")
    expect(opened.page.locator("compare-view")).to_be_hidden()
    expect(opened.page.get_by_role("button", name="Continue with this")).to_have_count(0)


@pytest.mark.parametrize("name", ["caption", "enhanced_prompt"])
def test_a_text_can_be_copied(opened: Tab, name: str) -> None:
    """It is shown as it is, also where it looks like HTML."""
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(opened, {name: "A <b>cat</b>\non a wall", "message": "Done."})

    expect(opened.page.locator(".result-text p")).to_have_text("A <b>cat</b>\non a wall")
    opened.page.get_by_role("button", name="Copy").click()
    expect(opened.page.get_by_text("Copied.")).to_be_visible()
    assert opened.page.evaluate("navigator.clipboard.readText()") == "A <b>cat</b>\non a wall"


def test_a_folder_of_frames_has_its_contact_sheet_and_opens_in_the_frames_studio(opened: Tab, files: Files) -> None:
    """Addresses are not shown."""
    sheet = files[1]["sheet.png"]["output_url"]
    show(opened, {"folder_name": "clip_frames", "frame_count": 10, "contact_sheet_url": sheet, "message": "Done."})

    opened.wait_until("document.querySelector('.result-sheet').naturalWidth === 128")
    values = opened.page.locator(".result-table").inner_text().split("\n")
    assert values == ["Folder name", "clip_frames", "Frame count", "10"]
    opened.page.get_by_role("button", name="Open in the frames studio").click()
    assert opened.page.evaluate("calls") == [["frames", "clip_frames"]]
    assert opened.accessibility_violations == ""


def test_several_results_are_listed_each_with_its_file_or_its_error(opened: Tab, files: Files) -> None:
    """As of a batch."""
    answer = files[1]["clip.gif"]
    results = [{"index": 0, "success": True, **answer}, {"index": 1, "success": False, "error": "It is no video."}]
    show(opened, {"message": "1 of 2 videos.", "results": results})

    items = opened.page.locator(".result-list > li")
    assert "clip.gif" in items.nth(0).inner_text()
    expect(items.nth(1)).to_have_text("It is no video.")
    items.nth(0).get_by_role("button", name="Continue with this").click()
    assert opened.page.evaluate("calls") == [["continue", answer["output_path"]]]

    opened.page.evaluate("view.clear()")
    expect(opened.page.locator(".result")).to_be_hidden()
