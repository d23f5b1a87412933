"""`backtracking show`: a trace in a terminal, in colours or without, and nothing that steers it."""

import io
import json
import re
import unicodedata
from pathlib import Path

import pytest
from steered_study import write_steered
from tiny_study import PAIR, TinyStudy, write_study

from backtracking import cli
from backtracking.stages import steer
from backtracking.view.shown import ShownSentence, ShownTrace
from backtracking.view.terminal import plain, print_trace

HOSTILE = {
    "a colour": "\x1b[31mred",
    "a title": "\x1b]0;owned\x07",
    "a link": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "a clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "an eight-bit control": "\x9b31m",
    "a backspace": "safe\b\b\b\bevil",
    "a return": "safe\revil",
    "a form feed": "a\x0cb",
    "a null": "a\x00b",
    "a bell": "a\x07b",
    "a tab": "a\tb",
    "right to left": "\u202egnp.exe",
    "an isolate": "a\u2066b\u2069",
    "no width": "a\u200bb\ufeffc",
    "a line separator": "a\u2028b\u2029c",
    "half a pair": "a\ud800b",
    "a private letter": "a\ue000b",
    "a tag": "a\U000e0041b",
    "markup of rich": "[red]a[/red] [link=http://evil]b[/link] :boom:",
}


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed(trace: ShownTrace, file: io.StringIO) -> str:
    print_trace(trace, file)
    return file.getvalue()


def shown(text: str) -> ShownTrace:
    """A trace of one sentence, everything about which says the same."""
    sentence = ShownSentence(0, len(text), ("backtracking", "deduction"), text)
    return ShownTrace(text, text, {text: text}, text, (text, "rules"), (sentence,))


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "300")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("file", [io.StringIO, Terminal])
def test_nothing_of_a_trace_steers_the_terminal(text: str, file: type[io.StringIO]) -> None:
    said = re.sub(r"\x1b\[[0-9;]*m", "", printed(shown(text), file()))
    unseen = {one for one in said if unicodedata.category(one)[0] == "C" or one in "\u2028\u2029"}
    assert unseen <= {"\n"}
    assert said.count(plain(text)) >= 5


def test_what_it_cannot_show_is_written_out_and_lines_still_end() -> None:
    assert plain("a\x1b[0m\u202e\ud800\nb") == "a\\x1b[0m\\u202e\\ud800\nb"
    assert plain("é – 走 🙂 [b]") == "é – 走 🙂 [b]"


def test_a_terminal_gets_colours_unless_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = shown("Wait.")
    coloured = printed(trace, Terminal())
    assert "\x1b[1;31mWait." in coloured and "\x1b" not in printed(trace, io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", printed(trace, Terminal()))


def test_who_says_something_else_is_named_below_and_the_true_kind_beside() -> None:
    sentences = (
        ShownSentence(0, 5, ("backtracking", "deduction"), "miss"),
        ShownSentence(5, 11, ("deduction", "deduction")),
    )
    trace = ShownTrace("t", "2 + 2?", {}, "Wait. So 4.", ("exact", "rules"), sentences)
    said = printed(trace, io.StringIO())
    rows = [re.split(r"  +", line.strip()) for line in said.splitlines()]
    assert ["backtracking", "miss", "Wait."] in rows and ["rules: deduction"] in rows
    assert ["deduction", "So 4."] in rows and "problem: 2 + 2?" in said


def run(root: Path, *options: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(root), "show", *map(str, options)])
    return int(ended.value.code or 0)


def test_a_trace_of_a_file_is_shown_with_a_persons_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"trace_id": f"p/{n}", "text": f"So x = {n}. Wait, no."} for n in range(2)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    label = {"trace_id": "p/1", "start": 0, "end": 10, "state": "final-answer", "annotator": "me"}
    (tmp_path / "l.jsonl").write_text(json.dumps(label) + "\n")
    options = ("--traces", tmp_path / "t.jsonl", "--labels", tmp_path / "l.jsonl")
    assert run(tmp_path, "p/1", *options) == 0
    said = capsys.readouterr().out
    assert "final-answer" in said and "So x = 1." in said and "x = 0" not in said
    assert run(tmp_path, "p/", *options) == 1
    assert "2 begin with 'p/'. Name one, such as 'p/0', 'p/1'." in capsys.readouterr().err
    assert run(tmp_path, "q", *options) == 1
    assert "0 begin with 'q'." in capsys.readouterr().err
    assert run(tmp_path, "p/1", *options[2:]) == 1
    assert "Name it: --traces FILE." in capsys.readouterr().err


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(3)


def test_a_trace_of_the_study_is_shown_with_true_kinds_and_projections(
    study: TinyStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_steered(tmp_path, study, PAIR)
    steer.main(["--root", str(tmp_path)])
    capsys.readouterr()
    name = study.traces[0].trace_id
    assert run(tmp_path, name) == 0
    plainly = capsys.readouterr().out
    kinds = [one.truth.kind for one in study.labelled.sentences if one.truth and one.decides]
    assert str(kinds[0]) in plainly and "labels: exact" in plainly
    assert run(tmp_path, name, "--layer", 1) == 0
    number = re.compile(r"[+-]\d\.\d{3}")
    numbers = number.findall(capsys.readouterr().out)
    assert len(numbers) > 4 and not number.findall(plainly)
