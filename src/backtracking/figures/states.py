"""How well state models predict what the next sentence does."""

from collections.abc import Sequence

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import (
    dots,
    lines_of_names,
    role_looks,
    roles,
    told,
    value_of,
)
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import INK, SOFT, Look, canvas, styled
from backtracking.records.rows.transitions import StateModel

LABELS, WRITER = "labels", "writer"
MODELS = {
    "iid": "frequencies",
    "markov_1": "chain of order 1",
    "markov_2": "chain of order 2",
    "markov_3": "chain of order 3",
    "semi_markov": "semi-Markov",
    "hmm": "HMM",
    "slds": "switching LDS",
    "next_token": "next token",
    "law": "the writer's law",
}


@styled
def state_models(study: Study) -> Picture:
    """Nats a sentence of test problems: labels alone, activations of each model, and the law."""
    rows = [row for row in study.rows(StateModel) if row.score.nll.value is not None]
    if not rows:
        return Absent("No state model was fitted: the stage `transitions` wrote none.")
    order = [LABELS, *roles(study), WRITER]
    rows.sort(key=lambda row: order.index(row.role) if row.role in order else len(order))
    title = _title(study, rows)
    figure, (axis,) = canvas(title, 1.0 + 0.185 * len(rows))
    looks = {LABELS: Look(INK, "o"), WRITER: Look(SOFT, "X")} | role_looks(study)
    for at, row in enumerate(rows):
        look = looks.get(row.role, Look(SOFT, "o"))
        dots(axis, [float(at)], [row.score.nll], look)
        axis.annotate(
            told(row.score.nll), (1.01, at), xycoords=("axes fraction", "data"), va="center",
            fontsize=6.5, annotation_clip=False,
        )  # fmt: skip
    lines_of_names(axis, [f"{row.role}: {MODELS.get(row.class_, row.class_)}" for row in rows])
    chain = next((row for row in rows if row.class_ == "markov_1"), None)
    if chain is not None:
        axis.axvline(value_of(chain.score.nll), color=SOFT, linewidth=0.6, zorder=0)
    axis.set_xlim(left=0)
    axis.set_xlabel("nats a sentence, on test problems; the line is the labels' chain of order 1")
    return Drawn(title, figure)


def _title(study: Study, rows: Sequence[StateModel]) -> str:
    of_labels = [row for row in rows if row.role == LABELS] or list(rows)
    best = min(of_labels, key=lambda row: value_of(row.score.nll))
    text = (
        f"Of labels alone {_name(best)} predicts the next sentence at {told(best.score.nll)} nats"
    )
    own = [row for row in rows if row.role == study.studied and row.class_ in ("hmm", "slds")]
    if not own:
        return text
    read = min(own, key=lambda row: value_of(row.score.nll))
    return f"{text}; {_name(read)} of the activations of {study.studied} at {told(read.score.nll)}"


def _name(row: StateModel) -> str:
    words = MODELS.get(row.class_, row.class_)
    return f"an {words}" if words[:1] in "H" else f"a {words}"
