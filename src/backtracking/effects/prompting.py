"""What an instruction in the prompt changes, at the same decisions of the same text."""

import numpy as np

from backtracking.effects.seen import NO_INTERVAL, Case, Seen
from backtracking.records.intervals import Interval
from backtracking.statistics.bootstrap import Bootstrap


def prompted_change(
    plain: Seen, prompted: Seen | None, case: Case, bootstrap: Bootstrap
) -> Interval:
    """The mean paired change of P(backtrack) without any edit, at decisions that both runs have.

    Without a value where no model read an instruction, or both runs read other endpoints.

    Args:
        plain: the model behind the prompts of the traces.
        prompted: behind those with the instruction.
        case: of decisions.
        bootstrap: resamples and level.
    """
    if prompted is None or prompted.endpoint != plain.endpoint:
        return NO_INTERVAL
    known = dict(zip(prompted.decisions.ids, prompted.p_at_decisions[0], strict=True))
    ids, of_case = plain.decisions.ids, case.mask(plain.decisions)
    rows = [row for row, one in enumerate(ids) if of_case[row] and one in known]
    if not rows:
        return NO_INTERVAL
    change = np.array([known[ids[row]] - plain.p_at_decisions[0, row] for row in rows])
    return bootstrap.intervals(change, list(plain.decisions.problem[rows]))[0]
