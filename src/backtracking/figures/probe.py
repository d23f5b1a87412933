"""What probes tell at every layer and token before a decision."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import (
    UNKNOWN,
    folded,
    heat,
    roles,
)
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import INK, SEQUENTIAL, canvas, styled
from backtracking.records.rows.probe import Choice, ProbeSelection
from backtracking.report.words import number

NOT_PROBED = Absent("The study has no probes: the stage `probe` wrote none.")


@styled
def probe_grid(study: Study) -> Picture:
    """AUROC on dev of every layer and offset, one panel a model and target."""
    found = study.part(ProbeSelection)
    cells = [] if found is None else [one for one in found.cells if one.dev_auroc is not None]
    models = [role for role in roles(study) if any(one.role == role for one in cells)]
    if found is None or not models:
        return NOT_PROBED
    targets = list(dict.fromkeys(one.target for one in cells))
    own = [one for one in cells if one.role == models[0]]
    own = [one for one in own if one.target == own[0].target]
    best = max(own, key=lambda one: one.dev_auroc or 0)
    title = (
        f"The activations of {best.role} tell {best.target} best in layer {best.layer} at "
        f"token {best.offset} from the deciding one: AUROC {number(best.dev_auroc)} on dev"
    )
    height = 1.1 + 0.62 * len(models)
    figure, axes = canvas(title, height, len(models), len(targets), sharex=True, sharey=True)
    norm = Normalize(0.5, 1)
    panels = [(role, target) for role in models for target in targets]
    for axis, (role, target) in zip(axes, panels, strict=True):
        here = [one for one in cells if (one.role, one.target) == (role, target)]
        _panel(axis, here, [one for one in found.best if one in here], norm)
        if role == models[0]:
            axis.set_title(f"target: {target}", loc="left")
        if target == targets[0]:
            axis.set_ylabel(f"{folded(role)},\nlayer", rotation=0, ha="right", va="center")
        if role == models[-1]:
            axis.set_xlabel("token from the deciding one")
    shade = ScalarMappable(norm, SEQUENTIAL)
    figure.colorbar(shade, ax=axes, label="AUROC on dev", shrink=0.8, pad=0.01)
    return Drawn(title, figure)


def _panel(axis: Axes, cells: Sequence[Choice], best: Sequence[Choice], norm: Normalize) -> None:
    layers, offsets = (sorted({getattr(c, key) for c in cells}) for key in ("layer", "offset"))
    values = np.full((len(layers), len(offsets)), UNKNOWN)
    for one in cells:
        values[layers.index(one.layer), offsets.index(one.offset)] = one.dev_auroc
    heat(axis, values, SEQUENTIAL, norm)
    for one in best:
        place = offsets.index(one.offset), layers.index(one.layer)
        axis.plot(*place, marker="*", color="white", markeredgecolor=INK, markersize=7)
    every = max(1, len(offsets) // 5)
    axis.set_xticks(range(len(offsets))[::-1][::every], offsets[::-1][::every])
    few = max(1, len(layers) // 3)
    axis.set_yticks(range(len(layers))[::few], layers[::few])
    axis.invert_yaxis()
