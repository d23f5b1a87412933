"""Figures on a page in a real browser: they are seen at two widths, in light and in the dark."""

from collections.abc import Callable
from pathlib import Path

import pytest
from planted_figures import tables
from playwright.sync_api import Page
from synthetic_results import write_results

from backtracking.figures.dose import dose
from backtracking.figures.picture import Drawn
from backtracking.figures.style import svg
from backtracking.report.committed import open_results
from backtracking.report.sections import Shown, sections
from backtracking.view.page import page
from backtracking.view.shown import ShownTrace

pytestmark = pytest.mark.slow

HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("figures")
    write_results(root)
    drawn = dose(tables())
    assert isinstance(drawn, Drawn)
    figures = [
        Shown("dose", drawn.title + HOSTILE, svg(drawn.figure, drawn.title)),
        Shown("lens", HOSTILE, None),
    ]
    path, trace = root / "page.html", ShownTrace("t", "p", {}, "Wait.", (), ())
    path.write_text(page("A study", [trace], sections(open_results(root), figures)))
    return path


@pytest.mark.parametrize("size", [(1280, 860), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_is_seen_whole_or_scrolled_to_and_has_its_finding_as_text(
    size: tuple[int, int], scheme: str, written: Path, look: Callable[..., Page]
) -> None:
    seen = look(written, size, scheme)
    figure = seen.locator("#figure-dose img")
    assert (figure.get_attribute("alt") or "").endswith(HOSTILE)
    assert figure.evaluate("one => one.complete && one.naturalWidth") == 653
    assert figure.evaluate("one => one.getBoundingClientRect().width") == pytest.approx(653, abs=1)
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inverted = figure.evaluate("one => getComputedStyle(one).filter").startswith("invert")
    assert inverted == (scheme == "dark")
    seen.keyboard.press("t")
    assert figure.evaluate("one => getComputedStyle(one).filter").startswith("invert") != inverted
    assert HOSTILE in seen.inner_text("section.told:has(.figures) li")
    assert seen.locator("script").count() == 2 and seen.locator("img").count() == 1


def test_a_page_is_printed_whole_and_dark_on_white_whatever_it_was_on_the_screen(
    written: Path, look: Callable[..., Page]
) -> None:
    seen = look(written, (700, 1000), "dark")  # a sheet of A4 between its margins
    seen.emulate_media(media="print")
    for theme in ("dark", "light"):
        seen.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert seen.evaluate("getComputedStyle(document.body).color") == "rgb(27, 27, 27)"
        assert seen.evaluate("getComputedStyle(document.querySelector('img')).filter") == "none"
    assert seen.locator(".wide").count() > 4
    assert seen.evaluate(
        "[...document.querySelectorAll('table, img')].every((one) => "
        "one.getBoundingClientRect().right <= document.body.clientWidth)"
    )
    assert seen.locator("nav").first.is_hidden() and seen.locator("#text").is_visible()


def test_every_section_is_led_to_from_above(written: Path, look: Callable[..., Page]) -> None:
    seen = look(written, (390, 844))
    links = seen.locator("nav[aria-label=Contents] a")
    assert links.count() == seen.locator("section.told").count() + 1
    for link in links.all():
        link.click()
        target = seen.locator(link.get_attribute("href") or "")
        assert abs((target.bounding_box() or {})["y"]) < 844
