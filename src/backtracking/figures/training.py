"""The loss of every model that was trained here."""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import LogLocator, NullLocator

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import legend, role_looks
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import COLUMN, SOFT, Look, canvas, styled
from backtracking.report.words import joined, number

Losses = Mapping[str, Sequence[tuple[int, float]]]
"""Step, and loss in nats a token averaged up to it, by role."""


def losses(rows: Sequence[Mapping[str, str]]) -> Losses:
    """What results/tables/loss.csv says; a model's shorter training leaves cells empty."""
    roles = [name for name in (rows[0] if rows else ()) if name != "step"]
    return {
        role: [(int(row["step"]), float(row[role])) for row in rows if row[role]] for role in roles
    }


@styled
def training(study: Study, found: Losses) -> Picture:
    """Loss against the step, both axes by powers."""
    known = {role: rows for role, rows in found.items() if rows}
    if not known:
        return Absent("No model was trained here: all were taken from elsewhere.")
    named = [role for role in (study.studied, study.base) if role in known] or list(known)[:1]
    last = joined([f"{number(known[role][-1][1])} nats a token for {role}" for role in named])
    title = f"Training ends at {last}"
    figure, (axis,) = canvas(title, 2.9, width=COLUMN)
    looks = role_looks(study)
    for role in sorted(known, key=[*looks, *known].index):
        look, rows = looks.get(role, Look(SOFT, "o")), known[role]
        axis.plot(
            [step for step, _ in rows], [loss for _, loss in rows], color=look.color,
            marker=look.marker, markevery=[len(rows) - 1], label=role,
        )  # fmt: skip
    axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel("nats a token")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    legend(figure, [axis], 2)
    return Drawn(title, figure)
