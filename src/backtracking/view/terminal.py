"""One trace in a terminal: a sentence a line, coloured by its state, with nothing that steers it.

What models wrote is hostile: a character that a terminal would obey, or not show, is shown by its
number and never sent. Rich leaves colours out for `NO_COLOR` and where nobody looks.
"""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtracking.records.sentences import State
from backtracking.view.shown import ShownSentence, ShownTrace

STYLES: Mapping[State, str] = {
    "initializing": "bright_black",
    "deduction": "blue",
    "adding-knowledge": "green",
    "example-testing": "yellow",
    "uncertainty-estimation": "magenta",
    "backtracking": "bold red",
    "final-answer": "cyan",
}
"""Colours of a terminal's own palette, so that they can be read on dark and on light."""

_OBEYED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def plain(text: str) -> str:
    r"""A text in which what a terminal obeys or hides is written out: `\x1b`, `\u202e`.

    Lines still end; no other control, format, private or unassigned character is left.
    """
    return "".join(
        one.encode("unicode_escape").decode("ascii")
        if one != "\n" and unicodedata.category(one) in _OBEYED
        else one
        for one in text
    )


def print_trace(trace: ShownTrace, file: TextIO | None = None) -> None:
    """Prints a trace: what is known of it, then its sentences.

    Args:
        trace: the trace.
        file: where to; standard output by default.
    """
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    console.print(Text(plain(trace.trace_id), "bold"))
    for name, value in {**trace.facts, "problem": trace.problem}.items():
        if value:
            console.print(Text.assemble((f"{plain(name)}: ", "dim"), plain(value)))
    if len(trace.labellers) > 1:
        first, *others = map(plain, trace.labellers)
        told = f"labels: {first}; where they differ, {', '.join(others)}"
        console.print(Text(told, "dim"))
    console.print(_table(trace))


def _table(trace: ShownTrace) -> Table:
    has_kinds = any(one.kind for one in trace.sentences)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("state", no_wrap=True)
    if has_kinds:
        table.add_column("truly", no_wrap=True)
    for shade in trace.shades:
        table.add_column(plain(shade.name), justify="right", max_width=16)
    table.add_column("sentence", overflow="fold", ratio=1)
    for sentence in trace.sentences:
        kind = [Text(plain(sentence.kind or ""))] if has_kinds else []
        text = plain(trace.text[sentence.start : sentence.end].strip())
        numbers = _numbers(trace, sentence)
        style = _style(sentence.states[0] if sentence.states else None)
        table.add_row(_label(trace, sentence), *kind, *numbers, Text(text, style))
    return table


def _label(trace: ShownTrace, sentence: ShownSentence) -> Text:
    """The first labeller's word, and below it those of the others who say something else."""
    first = sentence.states[0] if sentence.states else None
    label = Text(first or "-", _style(first))
    for name, state in zip(trace.labellers[1:], sentence.states[1:], strict=True):
        if state != first:
            label.append(f"\n {plain(name)}: {state or '-'}", "dim")
    return label


def _numbers(trace: ShownTrace, sentence: ShownSentence) -> Iterator[str]:
    """Each shade's number at the sentence's last token."""
    last = bisect_left(trace.token_ends, sentence.end)
    for shade in trace.shades:
        value = shade.values[last] if last < len(shade.values) else None
        yield "" if value is None else f"{value:+.3f}"


def _style(state: State | None) -> str:
    return STYLES.get(state, "") if state else ""
