"""Runs of one model that change it teacher-forced: arrays of arms by decisions and by prefixes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.directions.nulls import PROVIDERS
from backtracking.interventions.plan import Push, Read, Words
from backtracking.models.endpoints import Endpoints, read_endpoints, read_out
from backtracking.models.forced import teacher_force
from backtracking.models.loading import LoadedModel
from backtracking.records.measured import (
    CONTROL,
    COSINE,
    LOG_ODDS,
    P_BACK,
    P_LEGAL,
    P_OPEN,
    RETRAINED,
    Array,
    Measured,
)
from backtracking.records.tokens import Question
from lifeboat.stage import progress

ELSEWHERE = ("agreement", "kl", "p_sentence_end", "p_mid_sentence")
"""Arrays by prefix: what changes where nothing is decided (`models.forced.Forced`)."""


@dataclass(frozen=True)
class Sizes:
    """How much is done at a time, and how much of nulls.

    Attributes:
        rows_per_batch, edits_per_batch, n_null_back: as in `Plan`.
    """

    rows_per_batch: int
    edits_per_batch: int
    n_null_back: int


def force(
    loaded: LoadedModel,
    target: str,
    run: str,
    layer: int,
    read: Read,
    pushes: Sequence[Push],
    words: Words,
    sizes: Sizes,
    *,
    elsewhere: Sequence[float] = (),
) -> Measured:
    """Every arm, the baseline first, on the same prefixes.

    At decisions, each edited by itself: `p_open`, `p_back` and `p_legal` (`models.endpoints`). Arms
    of the affine edit's nulls are read only where their sign counts (`Read.claimed`), as are those
    along directions that were estimated again; and `p_back` of nulls only under the `n_null_back`
    that move `p_open` there most, and as many others: it costs further positions. By prefix, all
    decisions edited at once: `ELSEWHERE`, of the baseline and of arms at the doses `elsewhere` that
    are no nulls. All else is NaN.

    Args:
        loaded: the model that reads.
        target: its role.
        run: what the run is called.
        layer: whose output is edited.
        read: what is read.
        pushes: the arms.
        words: whose probabilities are read.
        sizes: how much at a time.
        elsewhere: doses at which other positions are read.
    """
    asked = is_asked(read, pushes)
    again = with_back(pushes, np.zeros(asked.shape), sizes.n_null_back)
    n_edits = int(asked[_nulls(pushes)].sum() + asked[again].sum())
    with progress.bar(f"steering {target}", n_edits, "edits") as advance:
        arrays = _at_decisions(loaded, layer, read, pushes, words, sizes, advance)
    arrays |= _elsewhere(loaded, layer, read, pushes, words, sizes, elsewhere)
    cosines = np.array([push.cosine for push in pushes], dtype=np.float64)
    arms = tuple(push.arm for push in pushes)
    arrays[COSINE] = Array("arms", cosines)
    return Measured(target, run, arms, arrays, read.decisions, read.trace_ids)


def ask(
    loaded: LoadedModel,
    target: str,
    run: str,
    layer: int,
    read: Read,
    pushes: Sequence[Push],
    question: Question,
    sizes: Sizes,
) -> Measured:
    """What the model reports at each decision, under every arm, the baseline first.

    Arguments as in `force`; the log-odds are those of the question's `yes` against its `no`.
    """
    edits = [push.edit for push in pushes]
    answers = question.yes.ids, question.no.ids
    log_odds = read_out(
        loaded, layer, read.prefixes, question.suffix_ids, edits, *answers, sizes.edits_per_batch
    )
    arms = tuple(push.arm for push in pushes)
    return Measured(target, run, arms, {LOG_ODDS: Array("decisions", log_odds)}, read.decisions)


def is_asked(read: Read, pushes: Sequence[Push]) -> Bool[np.ndarray, "arms decisions"]:
    """Where arms are run: everywhere; what is held against the affine edit, or is that edit along
    a direction that was estimated again, where its sign counts.
    """
    claimed = np.array(read.claimed, dtype=np.int64)
    found = np.ones((len(pushes), len(claimed)), dtype=bool)
    for row, push in enumerate(pushes):
        if push.arm.group in (*PROVIDERS, CONTROL, RETRAINED):
            found[row] = claimed == np.sign(push.arm.dose)
    return found


def with_back(
    pushes: Sequence[Push], p_open: Float[np.ndarray, "arms decisions"], n: int
) -> Int[np.ndarray, " some"]:
    """Arms under which P(backtrack) is read: all but nulls, and of these the strongest and others.

    Args:
        pushes: the arms.
        p_open: under each of them, NaN where it was not run.
        n: of each null and dose, those that move the mean most the way of their sign; the first
            others, which are as good as drawn, are as many.
    """
    chosen = [row for row, push in enumerate(pushes) if not push.is_null]
    groups = dict.fromkeys((one.arm.group, one.arm.dose) for one in pushes if one.is_null)
    for key in groups:
        rows = [row for row, one in enumerate(pushes) if (one.arm.group, one.arm.dose) == key]
        means = [-np.sign(key[1]) * p_open[row][~np.isnan(p_open[row])].sum() for row in rows]
        strongest = [rows[at] for at in np.argsort(means, kind="stable")[:n]]
        chosen += strongest + [row for row in rows if row not in strongest][:n]
    return np.sort(np.array(chosen, dtype=np.int64))


def _at_decisions(
    loaded: LoadedModel,
    layer: int,
    read: Read,
    pushes: Sequence[Push],
    words: Words,
    sizes: Sizes,
    advance: progress.Advance,
) -> dict[str, Array]:
    edits, asked = [push.edit for push in pushes], is_asked(read, pushes)

    def run(rows: Int[np.ndarray, " some"], *, has_back: bool) -> Endpoints:
        return read_endpoints(
            loaded, layer, read.prefixes, [edits[row] for row in rows], words.counted,
            sizes.edits_per_batch, asked[rows], has_back=has_back, progress=advance,
        )  # fmt: skip

    names = (P_OPEN, P_BACK, P_LEGAL)
    found = {name: np.full(asked.shape, np.nan) for name in names}
    nulls = _nulls(pushes)
    first = run(nulls, has_back=False) if len(nulls) else None
    for name in names if first is not None else ():
        found[name][nulls] = getattr(first, name)
    rows = with_back(pushes, found[P_OPEN], sizes.n_null_back)
    second = run(rows, has_back=True)
    for name in names:
        found[name][rows] = getattr(second, name)
    return {name: Array("decisions", values) for name, values in found.items()}


def _nulls(pushes: Sequence[Push]) -> Int[np.ndarray, " some"]:
    return np.array([row for row, push in enumerate(pushes) if push.is_null], dtype=np.int64)


def _elsewhere(
    loaded: LoadedModel,
    layer: int,
    read: Read,
    pushes: Sequence[Push],
    words: Words,
    sizes: Sizes,
    doses: Sequence[float],
) -> dict[str, Array]:
    found = np.full((len(ELSEWHERE), len(pushes), len(read.prefixes)), np.nan)
    wanted = {0.0, *doses} if doses else ()
    rows = [n for n, one in enumerate(pushes) if one.arm.dose in wanted and not one.is_null]
    if rows:
        edits = [pushes[row].edit for row in rows]
        forced = teacher_force(
            loaded, layer, read.prefixes, edits, words.marker_ids, sizes.rows_per_batch
        )
        for at, name in enumerate(ELSEWHERE):
            found[at, rows] = getattr(forced, name)
    return {name: Array("prefixes", found[at]) for at, name in enumerate(ELSEWHERE)}
