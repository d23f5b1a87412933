"""Does a direction still steer once the markers' unembedding rows are taken out of it?

If it only wrote "Wait" into the stream, nothing would be left of its effect; if it says something
that later blocks act upon, taking the word out costs little.
"""

import numpy as np

from backtracking.effects.rates import effect_of, excess
from backtracking.effects.seen import Case, Seen
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.measured import COSINE, WITHOUT_MARKERS, Arm
from backtracking.records.rows.arms import Projected
from backtracking.records.rows.claims import Finding, Markerless
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect


def whole_and_projected(seen: Seen) -> list[tuple[Arm, Arm]]:
    """Each direction's arm at dose 1 with its arm without markers, which has the same place."""
    whole = {arm.place: arm for arm in seen.main}
    return [(whole[arm.place], arm) for arm in seen.measured.arms_of(group=WITHOUT_MARKERS)]


def compare(seen: Seen, case: Case, bootstrap: Bootstrap) -> list[Projected]:
    """For each direction at live decisions: both effects, their paired difference, and the null.

    `retained` is the projected direction's effect as a share of the original's, where that one's
    interval is above 0.

    Args:
        seen: directions, the same without markers, and random ones.
        case: the live decisions.
        bootstrap: resamples and level.
    """
    rows = []
    for original, projected in whole_and_projected(seen) if seen.has(case) else ():
        whole, rest = (effect_of(seen, arm, case, bootstrap) for arm in (original, projected))
        rows.append(
            Projected(
                target=seen.target,
                direction=original.name,
                cosine=float(seen.measured.values(COSINE, projected)),
                original=whole.interval,
                projected=rest.interval,
                difference=excess((seen, projected), (seen, original), case, bootstrap),
                retained=_retained(seen, original, projected, case, whole, bootstrap),
                random95=whole.bound,
                n_random=min((bar.k for bar in whole.bars.values()), default=0),
                p_original=whole.p,
                p_projected=rest.p,
            )
        )
    return rows


def judge(
    seen: Seen, original: Arm, projected: Arm, case: Case, bootstrap: Bootstrap
) -> Markerless:
    """The claim that a direction steers by more than its markers' rows.

    No test where neither it nor the rest of it steers: then there is nothing to keep.
    """
    whole, rest = (effect_of(seen, arm, case, bootstrap) for arm in (original, projected))
    parts: dict[str, Verdict] = {
        "whole_steers": whole.verdict,
        "projected_steers": rest.verdict,
    }
    steers = "holds" in parts.values()
    lacking: Verdict = "untestable" if "untestable" in parts.values() else "no test"
    verdict = parts["projected_steers"] if steers else lacking
    return Markerless(
        claim="steers_without_markers",
        contrast=f"P(backtrack | {case.name}) steered along the direction without the markers' "
        "rows, rescaled to dose 1, - baseline",
        threshold="off 0 and beyond 95 % of random directions; untestable where the whole "
        "direction is not either",
        kind="emergent",
        finding=Finding.beside(
            verdict,
            rest.interval,
            rest.bound,
            p=rest.p,
            parts=parts,
            direction=original.name,
            target=seen.target,
            nulls=rest.bars,
            legal=rest.legal,
            resampled=rest.resampled,
        ),
    )


def _retained(
    seen: Seen, original: Arm, projected: Arm, case: Case, effect: Effect, bootstrap: Bootstrap
) -> Interval | None:
    if effect.interval.low is None or effect.interval.low <= 0:
        return None
    both = np.stack([seen.change(arm, case) for arm in (original, projected)], axis=1)
    problems = seen.problems(case)
    (share,) = bootstrap.intervals(both, problems, lambda means: means[:, 1:] / means[:, :1])
    return share
