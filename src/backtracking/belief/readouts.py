"""What is asked of a model at a decision point: does it act, what does it report, does it follow?

A: log-odds of the marker as the next token. B: after the question `report`, log-odds of its yes (a
dead end) against its no. C: along a continuation, log-odds of the claim that the donor's tokens
make right against the one that takes it back; then the probability of the right parent, and of a
legal next step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import Edit, no_edit, read_donor, read_prefix, run_tails
from backtracking.records.pairs import FollowUp, MinimalPair
from backtracking.records.tokens import Question, Tokens

REPORT, CLAIM = "report", "claim"
"""The question of B, and the follow-up of C."""

_READOUT_BY_FOLLOW_UP = {CLAIM: "c", "parent": "p_parent", "legal": "p_legal"}


@dataclass(frozen=True)
class Words:
    """The words of the readouts as token ids.

    Attributes:
        marker: the word that stands for all that open backtracking.
        openers: first tokens of these, the marker's among them.
        report: what the model is asked.
    """

    marker: tuple[int, ...]
    openers: tuple[int, ...]
    report: Question


def words_of(tokens: Tokens) -> Words | None:
    """The words of a study; None where it has no marker or no question `report`."""
    report = tokens.question(REPORT)
    if tokens.marker is None or report is None:
        return None
    return Words(tokens.marker.ids, tuple(tokens.opener_ids), report)


@dataclass(frozen=True)
class Readouts:
    """One value per arm and pair; NaN where it was not asked.

    Attributes:
        a, b, c: the three readouts, in log-odds.
        p_backtrack: P(next token opens backtracking).
        p_parent: P(the right parent), along the continuation.
        p_legal: P(a legal next step), at its end.
    """

    a: Float[np.ndarray, "arms pairs"]
    b: Float[np.ndarray, "arms pairs"]
    c: Float[np.ndarray, "arms pairs"]
    p_backtrack: Float[np.ndarray, "arms pairs"]
    p_parent: Float[np.ndarray, "arms pairs"]
    p_legal: Float[np.ndarray, "arms pairs"]

    @property
    def by_name(self) -> Mapping[str, Float[np.ndarray, "arms pairs"]]:
        """The arrays by their names."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True)
class Asked:
    """All that was read at some pairs.

    Attributes:
        arms: readouts of every edit.
        donor: readouts of the donors' own runs, one arm.
        forced: readouts once the model has written the marker, one arm: B alone.
    """

    arms: Readouts
    donor: Readouts
    forced: Readouts


def ask(
    loaded: LoadedModel,
    pairs: Sequence[MinimalPair],
    words: Words,
    rows: Sequence[Edit],
    n_followed: int,
    rows_per_batch: int,
) -> Asked:
    """All readouts of every edit at every pair; at points without a donor A and B alone.

    Args:
        loaded: the model.
        pairs: decision points.
        words: see `Words`.
        rows: the edits; the first `n_followed` of them are followed along the whole continuation,
            the others are asked its claim alone.
        n_followed: see above.
        rows_per_batch: edits in one call of the model.
    """
    asked = Asked(*(_empty(n, len(pairs)) for n in (len(rows), 1, 1)))
    suffix = list(words.report.suffix_ids)
    for column, pair in enumerate(pairs):
        point = _Point(loaded, pair, rows_per_batch)
        found, donor = point.read(suffix, suffix, rows)
        _fill_report(asked.arms, column, found, words)
        forced, _ = point.read([words.marker[0], *suffix], None, [no_edit(loaded)])
        asked.forced.b[:, column] = _report(forced, words)
        if donor is not None:
            _fill_report(asked.donor, column, donor, words)
            _follow(asked, column, pair, point, rows, n_followed)
    return asked


def log_odds(log_p: Float[Tensor, "rows d_vocab"], ids: Sequence[int]) -> Float[np.ndarray, " n"]:
    """Log-odds of some tokens against all others."""
    others = log_p.clone()
    others[:, list(ids)] = -torch.inf
    return _numpy(log_p[:, list(ids)].logsumexp(dim=1) - others.logsumexp(dim=1))


def join(parts: Sequence[Asked]) -> Asked:
    """What was asked in parts, pairs after pairs."""

    def joined(found: Sequence[Readouts]) -> Readouts:
        names = (one.name for one in fields(Readouts))
        return Readouts(*(np.concatenate([getattr(f, n) for f in found], axis=1) for n in names))

    return Asked(*(joined([getattr(one, f.name) for one in parts]) for f in fields(Asked)))


class _Point:
    """One pair, its prefix read once, and its donor's."""

    def __init__(self, loaded: LoadedModel, pair: MinimalPair, rows_per_batch: int) -> None:
        self.loaded, self.rows_per_batch, self.stop = loaded, rows_per_batch, pair.clean_ids[-1]
        self.donor_stop = pair.donor_ids[-1] if pair.donor_ids else None
        self.past = read_prefix(loaded, pair.clean_ids)
        self.donor_past = read_prefix(loaded, pair.donor_ids) if pair.donor_ids else None

    def read(
        self, appended: Sequence[int], donor_appended: Sequence[int] | None, rows: Sequence[Edit]
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities along a tail under every edit, and in the donor's run."""
        donor, resid_post = None, None
        if self.donor_past is not None and self.donor_stop is not None and donor_appended:
            ids = [self.donor_stop, *donor_appended]
            donor, resid_post = read_donor(self.loaded, self.donor_past, ids)
            donor = donor[None]
        ids = [self.stop, *appended]
        found = run_tails(self.loaded, self.past, ids, rows, self.rows_per_batch, resid_post)
        return found, donor


def _fill_report(into: Readouts, column: int, log_p: Tensor, words: Words) -> None:
    into.a[:, column] = log_odds(log_p[:, 0], words.marker)
    into.p_backtrack[:, column] = _numpy(log_p[:, 0, list(words.openers)].exp().sum(dim=1))
    into.b[:, column] = _report(log_p, words)


def _report(log_p: Tensor, words: Words) -> np.ndarray:
    return _gap(log_p[:, -1], words.report.yes.ids, words.report.no.ids)


def _follow(
    asked: Asked,
    column: int,
    pair: MinimalPair,
    point: _Point,
    rows: Sequence[Edit],
    n_followed: int,
) -> None:
    """Follow-ups with the same ids share a run; the rows that are not followed read the claim."""
    by_ids: dict[tuple[tuple[int, ...], tuple[int, ...]], list[FollowUp]] = {}
    for one in pair.follow_ups:
        by_ids.setdefault((tuple(one.clean_ids), tuple(one.donor_ids)), []).append(one)
    for (clean_ids, donor_ids), follow_ups in by_ids.items():
        found, donor = point.read(clean_ids, donor_ids, rows[:n_followed])
        for one in follow_ups:
            _fill_follow_up(asked.arms, slice(n_followed), column, found, one)
            assert donor is not None
            _fill_follow_up(asked.donor, slice(None), column, donor, one)
    claim = pair.follow_up(CLAIM)
    if rows[n_followed:] and claim is not None:
        ids, donor_ids = claim.clean_ids[: claim.at + 1], claim.donor_ids[: claim.at + 1]
        found, _ = point.read(ids, donor_ids, rows[n_followed:])
        _fill_follow_up(asked.arms, slice(n_followed, None), column, found, claim)


def _fill_follow_up(
    into: Readouts, arms: slice, column: int, log_p: Tensor, follow_up: FollowUp
) -> None:
    here = log_p[:, 1 + follow_up.at]
    name = _READOUT_BY_FOLLOW_UP.get(follow_up.name)
    if name is None:
        return
    if follow_up.wrong_ids:
        value = _gap(here, follow_up.right_ids, follow_up.wrong_ids)
    else:
        value = _numpy(here[:, follow_up.right_ids].exp().sum(dim=1))
    getattr(into, name)[arms, column] = value


def _gap(log_p: Tensor, for_ids: Sequence[int], against_ids: Sequence[int]) -> np.ndarray:
    both = (log_p[:, list(ids)].logsumexp(dim=1) for ids in (for_ids, against_ids))
    first, second = both
    return _numpy(first - second)


def _empty(n_arms: int, n_pairs: int) -> Readouts:
    return Readouts(*(np.full((n_arms, n_pairs), np.nan) for _ in fields(Readouts)))


def _numpy(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
