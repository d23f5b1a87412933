"""The page itself: one file with its style, script and data, and a rule that lets in no other.

What models wrote is hostile: it comes as compressed data, never as markup, and the script puts it
into the page as text alone. Its content security policy names the script by its hash.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from backtracking.labels.states import STATES
from backtracking.view.shown import ShownTrace

LARGEST = 5_000_000
"""Bytes of a page from which on its maker is told."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
img-src data:; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<a class="skip" href="#text">To the text</a>
<header class="top"><h1>{title}</h1></header>
{sections}{reader}
<script type="text/plain" id="data">{data}</script>
<script>{js}</script>
</body>
</html>
"""


def page(title: str, traces: Sequence[ShownTrace], sections: str = "") -> str:
    """A whole page.

    Args:
        title: of the page; escaped here.
        traces: what its reader shows.
        sections: markup in front of the reader, whose maker has escaped it.
    """
    css, js, reader = (_asset(name) for name in ("page.css", "reader.js", "reader.html"))
    return _PAGE.format(
        title=escape(title),
        css=css,
        js=js,
        reader=reader,
        sections=sections,
        data=packed(traces),
        style=_digest(css),
        script=_digest(js),
    )


def packed(traces: Sequence[ShownTrace]) -> str:
    """All traces: JSON, deflated, in base64, which holds no markup whatever they say."""
    content = {"states": STATES, "traces": [_row(trace) for trace in traces]}
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def _row(trace: ShownTrace) -> dict[str, object]:
    """A trace in short; states are numbers, and -1 is none."""
    number = {state: index for index, state in enumerate(STATES)}
    return {
        "id": trace.trace_id,
        "problem": trace.problem,
        "facts": trace.facts,
        "text": trace.text,
        "labellers": trace.labellers,
        "wider": trace.wider,
        "sentences": [
            [one.start, one.end, [number.get(state or "", -1) for state in one.states], one.kind]
            for one in trace.sentences
        ],
        "ends": trace.token_ends,
        "shades": [
            [shade.name, [None if x is None else float(f"{x:.4g}") for x in shade.values]]
            for shade in trace.shades
        ],
    }


def _asset(name: str) -> str:
    return files("backtracking.view").joinpath("assets", name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
