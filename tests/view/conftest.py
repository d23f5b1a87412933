"""A real browser, where there is one."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE = (1280, 860)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; skipped where there is none, or failed with `MATS_REQUIRE_BROWSER=1`."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        say = pytest.fail if os.environ.get("MATS_REQUIRE_BROWSER") == "1" else pytest.skip
        say(f"no browser is on the path: one of {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page from disk, offline; at the end it must have complained of nothing."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def opened(path: Path, size: tuple[int, int] = WIDE, scheme: str = "light") -> Page:
            width, height = size
            context = stack.enter_context(
                browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type]
                    offline=True,
                )
            )
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(dialog.message))
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready=yes]")
            return page

        yield opened
    assert not complaints
