"""The reader of traces in a real browser: what each control does, and that no text gets out."""

import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from backtracking.labels.states import STATES
from backtracking.records.labelled import read_labels
from backtracking.view.page import page
from backtracking.view.shown import Shade, ShownSentence, ShownTrace

pytestmark = pytest.mark.slow

Look = Callable[..., Page]
HOSTILE = {
    "markup": "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "the end of data": "</script><script>alert(3)</script>",
    "a comment": "<!-- <script>",
    "right to left": "abc \u202etxt.exe\u202c def",
    "isolates": "a\u2066b\u2069c",
    "zero width": "in\u200bvis\u200dible\ufeff",
    "controls": "bell\u0007 escape\u001b[31mred",
    "a long line": "x" * 20_000,
    "astral": "𝒳 = 2 🙂 Wait.",
    "half a character": "\ud83d alone",
    "an attribute": "\" onmouseover=\"alert(4)' style='color:red",
    "an entity": "&lt;b&gt; &amp; &#x41;",
    "a null": "a\u0000b",
    "tags": "a\U000e0041\U000e0042b",
    "fillers": "a\u115f\u3164b\u034fc",
    "a private letter": "a\ue000b",
    "lines": "a\u2028b\u2029c\u0085d",
    "a choice of look": "\u2714\ufe0f",
}
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
FILLERS = "\u115f\u3164\u034f"


def plain(text: str) -> str:
    """A text in which what one does not see is written out."""
    return "".join(
        f"U+{ord(one):04X}" if one in FILLERS or unicodedata.category(one) in HIDDEN else one
        for one in text
    )


def trace(name: str, text: str, *states: str, kind: str | None = None, **facts: str) -> ShownTrace:
    """A text whose sentences are its words' halves, each with two labellers' words."""
    n = max(1, len(states))
    bounds = [len(text) * index // n for index in range(n + 1)]
    sentences = tuple(
        ShownSentence(a, b, (state or None, "deduction"), kind)  # type: ignore[arg-type]
        for a, b, state in zip(bounds, bounds[1:], states or ("deduction",), strict=False)
        if a < b
    )
    return ShownTrace(name, "p", facts, text, ("one", "two"), sentences)


def write(folder: Path, *traces: ShownTrace) -> Path:
    path = folder / "page.html"
    path.write_text(page("A <title> & more", traces))
    return path


def test_a_page_without_a_trace_says_so(tmp_path: Path, look: Look) -> None:
    seen = look(write(tmp_path))
    expect(seen.locator("main")).to_have_text("There is no trace to read.")
    seen.keyboard.press("j")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_shown_as_text(name: str, tmp_path: Path, look: Look) -> None:
    text = HOSTILE[name]
    sentences = (ShownSentence(0, len(text), (STATES[5],)),)
    traces = [ShownTrace(one, text, {text: text}, text, (text,), sentences) for one in (text, "b")]
    seen = look(write(tmp_path, *traces))
    seen.select_option("#beside", "b")
    seen.keyboard.press("j")
    said = plain(text)
    for place in ("#text", "#other .block", "#name", "#problem", "#facts dt", "#facts dd"):
        assert seen.locator(place).text_content() == said
    for place in ("#traces button", "#labeller option", "#hover"):
        assert said in (seen.locator(place).first.text_content() or "")
    assert seen.locator("script").count() == 2 and seen.locator("img").count() == 0
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_controls_do_what_they_say(tmp_path: Path, look: Look) -> None:
    first = trace(
        "first", "Aa. Wait. Cc. No. Ee. ", "deduction", "backtracking", "", "backtracking", "",
        kind="miss", outcome="right",
    )  # fmt: skip
    second = trace("second", "Gg. Hh. ", "deduction", "deduction", outcome="wrong")
    seen = look(write(tmp_path, first, second))
    current = seen.locator("#text .current")
    for press, index in (("b", 1), ("b", 3), ("B", 1), ("j", 2), ("k", 1)):
        seen.keyboard.press(press)
        expect(current).to_have_attribute("data-index", str(index))
    expect(seen.locator("#hover")).to_contain_text(
        "one: backtracking; two: deduction; true kind: miss"
    )
    seen.click("#on")
    expect(current).to_have_attribute("data-index", "3")
    expect(seen.locator("#text .state.s5")).to_have_count(2)
    seen.select_option("#labeller", "1")
    expect(seen.locator("#text .state.s5")).to_have_count(0)
    seen.select_option("#labeller", "the truth")
    expect(seen.locator("#legend li")).to_have_text(["miss 5", "labellers disagree"])
    seen.select_option("#beside", "second")
    expect(seen.locator("#other")).to_contain_text("Gg. Hh.")
    seen.keyboard.press("n")
    expect(seen.locator("#name")).to_have_text("second")
    seen.keyboard.press("p")
    expect(seen.locator("#name")).to_have_text("first")
    expect(seen.locator("#problem")).to_have_text("p")


@pytest.mark.parametrize(
    ("control", "value", "left"),
    [
        ("#only", "outcome=wrong", ["second"]),
        ("#with", "backtracking", ["first"]),
        ("#with", "none", ["second"]),
        ("#with", "deduction", ["first", "second"]),
        ("#with", "final-answer", []),
        ("#with", "disputed", ["first"]),
        ("#with", "labelled", []),
    ],
)
def test_filters(control: str, value: str, left: list[str], tmp_path: Path, look: Look) -> None:
    first = trace("first", "Aa. Wait.", "deduction", "backtracking", outcome="right")
    second = trace("second", "Gg. Hh.", "deduction", "deduction", outcome="wrong")
    seen = look(write(tmp_path, first, second))
    seen.select_option(control, value)
    expect(seen.locator("#count")).to_have_text(f"{len(left)} of 2 traces")
    names = seen.locator("#traces button").all_inner_texts()
    assert [name.split("\n")[0] for name in names] == left
    seen.select_option(control, "")
    seen.fill("#find", "HH.")
    expect(seen.locator("#traces li")).to_have_count(1)
    expect(seen.locator("#name")).to_have_text("second")


def test_labels_are_made_by_keys_saved_and_read_again(tmp_path: Path, look: Look) -> None:
    text = "🙂 Aa. Wait, 𝒳. Cc."
    path = write(tmp_path, trace("t", text, "deduction", "", ""))
    seen = look(path)
    for key in ("l", "2", "6", "7", "u"):
        seen.keyboard.press(key)
    seen.fill("#annotator", "me")
    with seen.expect_download() as saving:
        seen.click("#save")
    saved = tmp_path / "labels.jsonl"
    saving.value.save_as(saved)
    bounds = [len(text) * index // 3 for index in range(4)]
    found = [(one.start, one.end, one.state, one.annotator) for one in read_labels(saved)]
    assert found == [(*bounds[:2], STATES[1], "me"), (*bounds[1:3], STATES[5], "me")]
    again = look(path)
    again.click("#mode")
    again.set_input_files("#load", saved)
    expect(again.locator("#done")).to_contain_text("2 were read")
    expect(again.locator("#text .state")).to_have_count(2)


def test_a_reload_keeps_labels(tmp_path: Path, look: Look) -> None:
    seen = look(write(tmp_path, trace("t", "Aa. Wait. Cc.", "deduction", "", "")))
    seen.keyboard.press("l")
    seen.keyboard.press("6")
    seen.reload()
    seen.wait_for_selector("html[data-ready=yes]")
    seen.keyboard.press("l")
    expect(seen.locator("#text .state.s5")).to_have_count(1)


def test_tokens_are_shaded_by_a_number_that_hovering_tells(tmp_path: Path, look: Look) -> None:
    text = "Aa bb. Wait."
    shades = (Shade("projection, layer 2", (0.5, None, -1.0)),)
    one = ShownTrace(
        "t", "p", {}, text, ("one",), (ShownSentence(0, len(text), (None,)),), (2, 6, 12), shades
    )
    seen = look(write(tmp_path, one))
    expect(seen.locator("#text .up, #text .down")).to_have_count(0)
    seen.select_option("#shade", "0")
    expect(seen.locator("#text .up")).to_have_text(["Aa"])
    expect(seen.locator("#text .down")).to_have_text([" Wait."])
    much = "getComputedStyle(document.querySelector('#text .down')).getPropertyValue('--much')"
    assert seen.evaluate(much) == "80%"
    seen.hover("#text .down")
    expect(seen.locator("#hover")).to_contain_text("projection, layer 2: -1")
    seen.click("#text .up")  # a finger does not hover
    expect(seen.locator("#hover")).to_contain_text("projection, layer 2: 0.5")
    seen.keyboard.press("j")
    expect(seen.locator("#hover")).to_contain_text("projection, layer 2, at its end: -1")


def test_hundreds_of_traces_and_a_hundred_thousand_characters_without_lag(
    tmp_path: Path, look: Look
) -> None:
    sentence = "Let me see whether this is right. "
    text = sentence * 3000
    spans = range(0, len(text), len(sentence))
    long = ShownTrace(
        "long", "p", {}, text, ("one",),
        tuple(ShownSentence(at, at + len(sentence), (STATES[5],)) for at in spans),
    )  # fmt: skip
    seen = look(write(tmp_path, *(trace(f"t{n}", sentence) for n in range(400)), long))
    assert len(text) > 100_000
    seen.fill("#find", "long")
    expect(seen.locator("#text .sentence")).to_have_count(3000)
    seen.keyboard.press("Escape")
    assert seen.locator("#text .block").count() > 8
    for _ in range(20):
        seen.keyboard.press("b")
    expect(seen.locator("#text .current")).to_have_attribute("data-index", "19")
    assert seen.locator("#text .current").bounding_box() is not None


def test_it_is_readable_on_a_phone_in_the_dark_and_by_keyboard(tmp_path: Path, look: Look) -> None:
    path = write(tmp_path, trace("t", "Aa. Wait. " * 40, "deduction", "backtracking"))
    for scheme, is_dark in (("light", False), ("dark", True)):
        seen = look(path, (390, 844), scheme)
        colour = seen.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (json.loads(f"[{colour[4:-1]}]")[0] < 128) == is_dark
        assert (seen.locator("#text").bounding_box() or {})["height"] > 200
        seen.keyboard.press("l")
        assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")
    seen.keyboard.press("t")
    assert seen.evaluate("document.documentElement.dataset.theme") == "light"
    seen.keyboard.press("Tab")
    assert seen.evaluate("document.activeElement.className") == "skip"
    names = "[...document.querySelectorAll('select,input')].every((one) => one.labels.length)"
    assert seen.evaluate(names)


def test_a_page_opens_at_its_top_whatever_stands_before_the_reader(
    tmp_path: Path, look: Look
) -> None:
    path = tmp_path / "page.html"
    traces = [trace(f"t{n}", "Aa. Wait.") for n in range(40)]
    path.write_text(page("A study", traces, '<section class="told"><p>.</p></section>' * 60))
    seen = look(path)
    for _ in range(30):
        seen.keyboard.press("n")
    assert seen.evaluate("scrollY") == 0
    seen.click("#traces [aria-current=true]")  # the list itself has followed
    expect(seen.locator("#name")).to_have_text("t30")


def test_the_list_is_one_stop_of_tab_in_which_arrows_move(tmp_path: Path, look: Look) -> None:
    seen = look(write(tmp_path, *(trace(f"t{n}", "Aa. Wait.") for n in range(9))))
    seen.focus("#with")
    for key in ("Tab", "ArrowDown", "ArrowDown", "ArrowUp"):
        seen.keyboard.press(key)
    expect(seen.locator("#name")).to_have_text("t1")
    expect(seen.locator("#traces button:focus")).to_contain_text("t1")
    for _ in range(2):
        seen.keyboard.press("Tab")
    assert seen.evaluate("document.activeElement.id") != "traces"
    assert not seen.evaluate("document.querySelector('#traces').contains(document.activeElement)")


def test_the_legend_says_where_a_labeller_means_more_by_backtracking(
    tmp_path: Path, look: Look
) -> None:
    wide = replace(trace("a", "One. Two.", "backtracking"), wider=("a wider thing", ""))
    legend = look(write(tmp_path, wide)).locator("#legend")
    expect(legend).to_contain_text("backtracking here is a wider thing")
    legend.page.select_option("#labeller", "1")
    expect(legend).not_to_contain_text("backtracking here")
