"""The probe beside the best reader of words and time, which needs no activations."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import (
    ends,
    legend,
    lines_of_names,
    roles,
    told,
    value_of,
)
from backtracking.figures.picture import Drawn, Picture
from backtracking.figures.probe import NOT_PROBED
from backtracking.figures.style import FAINT, INK, OKABE_ITO, SOFT, canvas, styled
from backtracking.records.rows.probe import Probed
from backtracking.report.words import number, signed


@styled
def leakage(study: Study) -> Picture:
    """The probe beside the best reader of words and time, on the same test decisions."""
    rows = [row for row in study.rows(Probed) if row.auroc.value is not None]
    models = [role for role in roles(study) if any(row.choice.role == role for row in rows)]
    if not models:
        return NOT_PROBED
    targets = list(dict.fromkeys(row.choice.target for row in rows))
    title = _leakage_title([row for row in rows if row.choice.role == models[0]])
    figure, axes = canvas(
        title, 1.35 + 0.33 * len(models), columns=len(targets), sharex=True, sharey=True
    )
    for axis, target in zip(axes, targets, strict=True):
        here = {row.choice.role: row for row in rows if row.choice.target == target}
        _bars(axis, [here.get(role) for role in models])
        lines_of_names(axis, models)
        axis.set_title(f"target: {target}", loc="left")
        axis.set_xlabel("AUROC on test")
    axes[0].set_xlim(0.5, 1.01)
    legend(figure, axes)
    return Drawn(title, figure)


def _leakage_title(rows: Sequence[Probed]) -> str:
    """Where the probe of the model under study is farthest beyond what needs no activations."""
    best = max(rows, key=lambda row: value_of(row.difference) if row.difference.value else -1.0)
    of, who = best.choice.target, best.choice.role
    title = f"A probe of {who} tells {of} at AUROC {told(best.auroc)}"
    if best.baseline_auroc is None or best.difference.value is None:
        return title
    return (
        f"{title}; words and time at {number(best.baseline_auroc)}: "
        f"{told(best.difference, signed)} beyond them"
    )


def _bars(axis: Axes, rows: Sequence[Probed | None]) -> None:
    for at, row in enumerate(rows):
        if row is None:
            continue
        axis.barh(
            at - 0.19, value_of(row.auroc) - 0.5, 0.36, left=0.5, xerr=ends([row.auroc]),
            color=OKABE_ITO[0], error_kw={"elinewidth": 0.8, "ecolor": INK}, label="probe",
        )  # fmt: skip
        if row.baseline_auroc is not None:
            name = "best of words and time"
            axis.barh(
                at + 0.19, row.baseline_auroc - 0.5, 0.36, left=0.5, color=FAINT,
                edgecolor=SOFT, linewidth=0.5, label=name,
            )  # fmt: skip
        if row.kind_auroc is not None and row.kind_auroc.value is not None:
            axis.plot(
                row.kind_auroc.value, at, marker="D", color=OKABE_ITO[5], markeredgecolor=INK,
                markeredgewidth=0.5, linestyle="", label="the true kind alone",
            )  # fmt: skip
        if row.ceiling is not None:
            axis.vlines(
                row.ceiling, at - 0.4, at + 0.4, color=OKABE_ITO[1],
                label="ceiling: all that the prefix tells",
            )  # fmt: skip
