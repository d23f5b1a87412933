"""Runs of one model that change it teacher-forced: arrays of arms by decisions and by prefixes."""

from collections.abc import Sequence

import numpy as np

from backtracking.interventions.plan import Push, Read, Words
from backtracking.models.forced import Forced, read_out, teacher_force
from backtracking.models.loading import LoadedModel
from backtracking.records.measured import COSINE, LOG_ODDS, P_OPENER, Array, Measured
from backtracking.records.tokens import Question
from lifeboat.stage import progress

ELSEWHERE = ("agreement", "kl", "p_sentence_end", "p_mid_sentence")
"""Arrays by prefix: what changes where nothing is decided (`models.forced.Forced`)."""


def force(
    loaded: LoadedModel,
    target: str,
    run: str,
    layer: int,
    read: Read,
    pushes: Sequence[Push],
    words: Words,
    rows_per_batch: int,
) -> Measured:
    """Every arm, the baseline first, on the same prefixes.

    Args:
        loaded: the model that reads.
        target: its role.
        run: what the run is called.
        layer: where the vectors are added.
        read: what is read.
        pushes: the arms.
        words: whose probabilities are read.
        rows_per_batch: prefixes times arms in one call of the model.
    """
    with progress.bar(f"steering {target}", len(pushes) * len(read.prefixes), "rows") as advance:
        found = teacher_force(
            loaded,
            layer,
            read.prefixes,
            [push.for_model() for push in pushes],
            words.opener_ids,
            rows_per_batch,
            advance,
            words.marker_ids,
        )
    arms = tuple(push.arm for push in pushes)
    return Measured(target, run, arms, _arrays(found, pushes), read.decisions, read.trace_ids)


def ask(
    loaded: LoadedModel,
    target: str,
    run: str,
    layer: int,
    read: Read,
    pushes: Sequence[Push],
    question: Question,
) -> Measured:
    """What the model reports at one decision a prefix, under every arm, the baseline first.

    Arguments as in `force`; the log-odds are those of the question's `yes` against its `no`.
    """
    log_odds = read_out(
        loaded,
        layer,
        read.prefixes,
        question.suffix_ids,
        [push.for_model() for push in pushes],
        question.yes.ids,
        question.no.ids,
    )
    arms = tuple(push.arm for push in pushes)
    return Measured(target, run, arms, {LOG_ODDS: Array("decisions", log_odds)}, read.decisions)


def _arrays(found: Forced, pushes: Sequence[Push]) -> dict[str, Array]:
    cosines = np.array([push.cosine for push in pushes], dtype=np.float64)
    elsewhere = {name: Array("prefixes", getattr(found, name)) for name in ELSEWHERE}
    own = {P_OPENER: Array("decisions", found.p_marked), COSINE: Array("arms", cosines)}
    return own | elsewhere
