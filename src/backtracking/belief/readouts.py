"""What is asked of a model at a decision point: does it act, what does it report, does it follow?

A: log-odds of the word "Wait" as the next token. B: after "Check :", log-odds of over against
under. C: after "Wait ,", log-odds of the total (that "is too big") against "fine"; then, along a
written-out return, the probability of the right parent and of a legal next number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.belief.tails import Edit, clean, read_donor, read_prefix, run_tails
from backtracking.domains.organism.donors import Item
from backtracking.domains.organism.grammar import BACKTRACKING_OPENERS, MARKER
from backtracking.models.loading import LoadedModel


@dataclass(frozen=True)
class Questions:
    """The words of the readouts as token ids.

    Attributes:
        marker: "Wait".
        openers: the words that open backtracking, "Wait" among them.
        report: "Check :".
        over, under: the two answers.
        claim: "Wait ,".
        fine: the word that takes it back.
    """

    marker: int
    openers: tuple[int, ...]
    report: tuple[int, ...]
    over: int
    under: int
    claim: tuple[int, ...]
    fine: int


def questions(id_by_word: Mapping[str, int]) -> Questions:
    """The readouts in the vocabulary of the world."""
    return Questions(
        marker=id_by_word[MARKER],
        openers=tuple(id_by_word[word] for word in BACKTRACKING_OPENERS),
        report=(id_by_word["Check"], id_by_word[":"]),
        over=id_by_word["over"],
        under=id_by_word["under"],
        claim=(id_by_word[MARKER], id_by_word[","]),
        fine=id_by_word["fine"],
    )


@dataclass(frozen=True)
class Readouts:
    """One value per arm and item; NaN where it was not asked.

    Attributes:
        a, b, c: the three readouts, in log-odds.
        p_backtrack: P(next token opens backtracking).
        p_parent: P(the right parent | "Undo n on"), along the continuation.
        p_legal: P(a legal number | "Try"), at its end.
    """

    a: Float[np.ndarray, "arms items"]
    b: Float[np.ndarray, "arms items"]
    c: Float[np.ndarray, "arms items"]
    p_backtrack: Float[np.ndarray, "arms items"]
    p_parent: Float[np.ndarray, "arms items"]
    p_legal: Float[np.ndarray, "arms items"]


@dataclass(frozen=True)
class Asked:
    """All that was read at some items.

    Attributes:
        arms: readouts of every edit.
        donor: readouts of the donors' own runs, one arm.
        forced: readouts once the model has written "Wait", one arm: B alone, as "Wait Check :".
    """

    arms: Readouts
    donor: Readouts
    forced: Readouts


def ask(
    loaded: LoadedModel,
    items: Sequence[Item],
    words: Questions,
    rows: Sequence[Edit],
    n_followed: int,
    rows_per_batch: int,
    advance: Callable[[int], None] = lambda items: None,
) -> Asked:
    """All readouts of every edit at every item; at items without a donor A and B alone.

    Args:
        loaded: the model.
        items: decision points.
        words: see `Questions`.
        rows: the edits; the first `n_followed` of them are followed along the continuation.
        n_followed: see above.
        rows_per_batch: edits in one call of the model.
        advance: told after each item.
    """
    asked = Asked(*(_empty(n, len(items)) for n in (len(rows), 1, 1)))
    for column, item in enumerate(items):
        point = _Point(loaded, item, rows_per_batch)
        found, donor = point.read(words.report, words.report, rows)
        _fill_report(asked.arms, slice(None), column, found, words)
        forced, _ = point.read([words.marker, *words.report], None, [clean(loaded)])
        asked.forced.b[:, column] = _gap(forced[:, -1], words.over, words.under)
        if donor is not None:
            _fill_report(asked.donor, slice(None), column, donor, words)
            goes_on, other = item.continuation_ids, item.donor_continuation_ids
            found, donor = point.read(goes_on, other, rows[:n_followed])
            _fill_claim(asked.arms, slice(n_followed), column, found, item, words)
            _fill_claim(asked.donor, slice(None), column, donor, item, words)
            if rows[n_followed:]:
                found, _ = point.read(words.claim, words.claim, rows[n_followed:])
                _fill_claim(asked.arms, slice(n_followed, None), column, found, item, words)
        advance(1)
    return asked


def log_odds(log_p: Float[Tensor, "rows d_vocab"], token: int) -> Float[np.ndarray, " rows"]:
    """Log-odds of one token against all others."""
    others = log_p.clone()
    others[:, token] = -torch.inf
    return _numpy(log_p[:, token] - others.logsumexp(dim=1))


class _Point:
    """One item, its prefix read once, and its donor's."""

    def __init__(self, loaded: LoadedModel, item: Item, rows_per_batch: int) -> None:
        self.loaded, self.rows_per_batch, self.stop = loaded, rows_per_batch, item.clean_ids[-1]
        self.cache = read_prefix(loaded, item.clean_ids)
        self.donor_cache = read_prefix(loaded, item.donor_ids) if item.donor_ids else None

    def read(
        self, appended: Sequence[int], donor_appended: Sequence[int] | None, rows: Sequence[Edit]
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities along a tail under every edit, and in the donor's run."""
        donor, resid_post = None, None
        if self.donor_cache is not None and donor_appended is not None:
            ids = [self.stop, *donor_appended]
            donor, resid_post = read_donor(self.loaded, self.donor_cache, ids)
            donor = donor[None]
        ids = [self.stop, *appended]
        found = run_tails(self.loaded, self.cache, ids, rows, self.rows_per_batch, resid_post)
        return found, donor


def _fill_report(into: Readouts, arms: slice, column: int, log_p: Tensor, words: Questions) -> None:
    into.a[arms, column] = log_odds(log_p[:, 0], words.marker)
    into.p_backtrack[arms, column] = _numpy(log_p[:, 0, list(words.openers)].exp().sum(dim=1))
    into.b[arms, column] = _gap(log_p[:, -1], words.over, words.under)


def _fill_claim(
    into: Readouts, arms: slice, column: int, log_p: Tensor | None, item: Item, words: Questions
) -> None:
    if log_p is None:
        return
    at = len(words.claim)
    into.c[arms, column] = _gap(log_p[:, at], item.claim_id, words.fine)
    if log_p.shape[1] > len(item.continuation_ids):
        into.p_parent[arms, column] = _numpy(log_p[:, 1 + item.parent_at, item.parent_id].exp())
        legal = log_p[:, -1, item.legal_ids].exp().sum(dim=1)
        into.p_legal[arms, column] = _numpy(legal)


def _gap(log_p: Tensor, for_id: int, against_id: int) -> np.ndarray:
    return _numpy(log_p[:, for_id] - log_p[:, against_id])


def _empty(n_arms: int, n_items: int) -> Readouts:
    return Readouts(*(np.full((n_arms, n_items), np.nan) for _ in fields(Readouts)))


def _numpy(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
