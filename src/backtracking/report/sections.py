"""What a page says in front of its traces: the finding, figures, claims and reasons, provenance."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markdown_it import MarkdownIt

from backtracking.report.committed import Results
from backtracking.report.findings import BLOCKS
from backtracking.report.verdicts import BLOCKS as VERDICTS
from backtracking.report.words import markdown

SHOWN = (
    ("What was found", "believe"),
    ("Claims", "claims"),
    ("Beside their nulls", "primary"),
    ("Measures", "results"),
    ("Everything else", "exploratory"),
)
"""Headings, and the generated blocks below them."""


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
    parts = [_section(heading, _made(writers[name](results))) for heading, name in SHOWN]
    if figures:
        parts.insert(1, _section("Figures", _figures(figures)))
    return "\n".join([*parts, _section("Provenance", _made(_provenance(results)))])


def _section(heading: str, markup: str) -> str:
    return f'<section class="told"><h2>{heading}</h2>{markup}</section>'


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
