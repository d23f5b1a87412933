"""How far labellers agree with humans on traces of real models."""

from collections.abc import Mapping, Sequence

from backtracking.figures.parts import dots, legend, lines_of_names, told, value_of
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import canvas, looks, styled
from backtracking.records.intervals import Interval
from backtracking.records.rows.labellers import LabellerAgreement, Subset
from backtracking.report.labellers import WORDS

SUBSETS: Mapping[Subset, str] = {
    "held-back": "held back until the labellers were fixed",
    "open": "looked at before",
}
BEST = {"ours": "our best labeller", "judge": "the best judge", "human": "another human"}
"""What the best of each kind is called, in a title."""
TRUTH = {
    "reasoningflow_aime": "a judge's labels, corrected by a human",
    "reasoningflow_human": "a human's own labels",
}
"""What is taken as true in each source."""


@styled
def labellers(rows: Sequence[LabellerAgreement]) -> Picture:
    """F1 of backtracking by the first human's labels, of each labeller and set of traces."""
    sources = list(dict.fromkeys(row.source for row in rows))
    if not sources:
        return Absent("No traces that humans labelled were read.")
    most = max(sources, key=lambda one: sum(row.n for row in rows if row.source == one))
    names = list(dict.fromkeys(row.labeller for row in rows if row.subset in SUBSETS))
    title = _title([row for row in rows if row.source == most and row.subset == "all"])
    height = 1.3 + 0.2 * len(names)
    figure, axes = canvas(title, height, columns=len(sources), sharey=True, sharex=True)
    look = looks(SUBSETS)
    for axis, source in zip(axes, sources, strict=True):
        for number, (subset, label) in enumerate(SUBSETS.items()):
            shown = {
                row.labeller: row.f1 for row in rows if (row.source, row.subset) == (source, subset)
            }
            heights = [at + 0.3 * (number - 0.5) for at in range(len(names))]
            dots(axis, heights, [shown.get(name) for name in names], look[subset], label=label)
        lines_of_names(axis, [WORDS.get(name, name).strip("`") for name in names])
        axis.set_title(TRUTH.get(source, source), loc="left")
        axis.set_xlabel("F1 of backtracking")
        axis.set_xlim(0, 1.03)
    legend(figure, axes)
    return Drawn(title, figure)


def _title(rows: Sequence[LabellerAgreement]) -> str:
    best: dict[str, Interval] = {}
    for row in rows:
        if row.f1.value is not None and row.f1.value > value_of(best.get(row.kind, _NONE)):
            best[row.kind] = row.f1
    parts = [f"{words} {told(best[kind])}" for kind, words in BEST.items() if kind in best]
    return f"F1 of what a human calls backtracking: {', '.join(parts)}"


_NONE = Interval(-1.0, None, None, 0)
