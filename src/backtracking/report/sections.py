"""What a page says in front of its traces: the finding, claims and reasons, figure, provenance."""

import base64
from pathlib import Path

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


CAPTION = "P(backtrack) against the dose"


def sections(results: Results, figure: Path) -> str:
    """Markup of all sections, every text of it escaped.

    Args:
        results: of the study.
        figure: an SVG, which is shown as a picture; left out where it is missing.
    """
    writers = BLOCKS | dict(VERDICTS)
    parts = [_section(heading, writers[name](results)) for heading, name in SHOWN]
    if figure.is_file():
        data = base64.b64encode(figure.read_bytes()).decode("ascii")
        picture = (
            f'<img alt="P(backtrack) against the dose" src="data:image/svg+xml;base64,{data}">'
        )
        parts.insert(1, f"<section><h2>Dose</h2>{picture}</section>")
    return "\n".join([*parts, _section("Provenance", _provenance(results))])


def _section(heading: str, text: str) -> str:
    """Markdown as markup; what is markup in it stays text."""
    made = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return f'<section class="told"><h2>{heading}</h2><div class="wide">{made}</div></section>'


def _provenance(results: Results) -> str:
    rows = [
        [name.removeprefix("provenance_"), str(value)]
        for name, value in results.summary.items()
        if name.startswith("provenance_")
    ]
    return markdown(["what", "which"], rows)
