"""What a page says in front of its traces: the finding, figures, claims and reasons, provenance."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markdown_it import MarkdownIt

from backtracking.report.committed import Results
from backtracking.report.findings import BLOCKS
from backtracking.report.verdicts import BLOCKS as VERDICTS
from backtracking.report.words import UNDEFINED, markdown

SHOWN = {
    "believe": "What was found",
    "claims": "Claims",
    "primary": "Beside their nulls",
    "results": "Measures",
    "exploratory": "Everything else",
}
"""Headings of the generated blocks."""

HEADINGS = SHOWN | {"figures": "Figures", "provenance": "Provenance", "reader": "Traces"}
"""Headings of all that a page has."""


@dataclass(frozen=True)
class Shown:
    """A figure as a page has it.

    Attributes:
        name: of its file.
        says: its finding, or why it is not drawn.
        svg: its bytes; None where it is not drawn.
    """

    name: str
    says: str
    svg: bytes | None


def sections(results: Results, figures: Sequence[Shown]) -> str:
    """Markup of all sections, every text of it escaped; figures stand below the finding."""
    writers = BLOCKS | dict(VERDICTS)
    first, *others = [(name, _made(_known(writers[name](results)))) for name in SHOWN]
    pictures = [("figures", _figures(figures))] if figures else []
    parts = [first, *pictures, *others, ("provenance", _made(_provenance(results)))]
    return "\n".join([_contents([*dict(parts), "reader"]), *(_section(*one) for one in parts)])


def _contents(names: Sequence[str]) -> str:
    links = [f'<a href="#{name}">{HEADINGS[name]}</a>' for name in names]
    return f'<nav class="told" aria-label="Contents">{" ".join(links)}</nav>'


def _section(name: str, markup: str) -> str:
    return f'<section class="told" id="{name}"><h2>{HEADINGS[name]}</h2>{markup}</section>'


def _known(text: str) -> str:
    """Without the rows of tables whose number this study does not have."""
    return "\n".join(line for line in text.split("\n") if f"| {UNDEFINED} |" not in line)


def _made(text: str) -> str:
    """Markdown as markup; what is markup in it stays text."""
    made = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return f'<div class="wide">{made}</div>'


def _figures(figures: Sequence[Shown]) -> str:
    drawn = [_picture(one, one.svg) for one in figures if one.svg is not None]
    absent = [
        f"<li>{escape(one.name)}: {escape(one.says)}</li>" for one in figures if one.svg is None
    ]
    told = f"<p>Not drawn:</p><ul>{''.join(absent)}</ul>" if absent else ""
    return f'<div class="figures">{"".join(drawn)}</div>{told}'


def _picture(figure: Shown, svg: bytes) -> str:
    data = base64.b64encode(svg).decode("ascii")
    return (
        f'<figure class="wide" id="figure-{escape(figure.name)}"><img alt="{escape(figure.says)}" '
        f'src="data:image/svg+xml;base64,{data}"></figure>'
    )


def _provenance(results: Results) -> str:
    rows = [
        [name.removeprefix("provenance_"), str(value)]
        for name, value in results.summary.items()
        if name.startswith("provenance_")
    ]
    return markdown(["what", "which"], rows)
