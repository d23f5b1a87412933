"""What is asked of a model at a decision point: does it act, what does it report, does it follow?

A, the marker: its log-odds as the next token, behind the deciding token that every arm edits. Two
readouts stand behind tokens that no arm edits. B: after the question `report`, log-odds of its yes
(a dead end) against its no. C: along a continuation, log-odds of the claim that the donor's tokens
make right against the one that takes it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import Edit, read_donor, read_prefix, run_tails
from backtracking.records.pairs import MinimalPair
from backtracking.records.tokens import Question, Tokens

REPORT, CLAIM = "report", "claim"
"""The question of B, and the follow-up of C."""

USUAL = 1e-3
"""What a model itself says at a point: tokens of this probability in its clean or donor's run."""


@dataclass(frozen=True)
class Words:
    """The words of the readouts as token ids.

    Attributes:
        marker: the word that stands for all that open backtracking.
        report: what the model is asked.
    """

    marker: tuple[int, ...]
    report: Question


def words_of(tokens: Tokens) -> Words | None:
    """The words of a study; None where it has no marker or no question `report`."""
    report = tokens.question(REPORT)
    if tokens.marker is None or report is None:
        return None
    return Words(tokens.marker.ids, report)


@dataclass(frozen=True)
class Readouts:
    """One value per arm and pair; NaN where it was not asked.

    Attributes:
        a, b, c: the marker and the two readouts, in log-odds.
        fluent: P(a usual token) behind the deciding one; see `USUAL`.
    """

    a: Float[np.ndarray, "arms pairs"]
    b: Float[np.ndarray, "arms pairs"]
    c: Float[np.ndarray, "arms pairs"]
    fluent: Float[np.ndarray, "arms pairs"]

    @property
    def by_name(self) -> Mapping[str, Float[np.ndarray, "arms pairs"]]:
        """The arrays by their names."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def ask(
    loaded: LoadedModel,
    pairs: Sequence[MinimalPair],
    words: Words,
    rows: Sequence[Edit],
    rows_per_batch: int,
) -> Readouts:
    """All readouts of every edit at every pair; the donors' own runs are one more, the last.

    Args:
        loaded: the model.
        pairs: decision points with donors.
        words: see `Words`.
        rows: the edits, the first of which changes nothing.
        rows_per_batch: edits in one call of the model.
    """
    asked = Readouts(*(np.full((len(rows) + 1, len(pairs)), np.nan) for _ in fields(Readouts)))
    suffix, report = list(words.report.suffix_ids), words.report
    for column, pair in enumerate(pairs):
        point = _Point(loaded, pair, rows, rows_per_batch)
        log_p = point.read(suffix, suffix, (0, -1))
        asked.a[:, column] = log_odds(log_p[:, 0], words.marker)
        usual = (log_p[[0, -1], 0].exp() >= USUAL).any(dim=0)
        asked.fluent[:, column] = _numpy(log_p[:, 0, usual].exp().sum(dim=1))
        asked.b[:, column] = _gap(log_p[:, -1], report.yes.ids, report.no.ids)
        claim = pair.follow_up(CLAIM)
        if claim is not None:
            end = claim.at + 1
            log_p = point.read(claim.clean_ids[:end], claim.donor_ids[:end], (-1,))
            asked.c[:, column] = _gap(log_p[:, -1], claim.right_ids, claim.wrong_ids)
    return asked


def log_odds(log_p: Float[Tensor, "rows d_vocab"], ids: Sequence[int]) -> Float[np.ndarray, " n"]:
    """Log-odds of some tokens against all others."""
    others = log_p.clone()
    others[:, list(ids)] = -torch.inf
    return _numpy(log_p[:, list(ids)].logsumexp(dim=1) - others.logsumexp(dim=1))


def join(parts: Sequence[Readouts]) -> Readouts:
    """What was asked in parts, pairs after pairs."""
    names = (one.name for one in fields(Readouts))
    return Readouts(*(np.concatenate([getattr(one, n) for one in parts], axis=1) for n in names))


class _Point:
    """One pair, its prefix read once, and its donor's."""

    def __init__(
        self, loaded: LoadedModel, pair: MinimalPair, rows: Sequence[Edit], rows_per_batch: int
    ) -> None:
        self.loaded, self.pair = loaded, pair
        self.rows, self.rows_per_batch = rows, rows_per_batch
        self.past = read_prefix(loaded, pair.clean_ids)
        self.donor_past = read_prefix(loaded, pair.donor_ids)

    def read(
        self, appended: Sequence[int], donor_appended: Sequence[int], positions: Sequence[int]
    ) -> Float[Tensor, "edits_and_donor positions d_vocab"]:
        """Log-probabilities at positions of a tail under every edit, and last in the donor's."""
        ids = [self.pair.donor_ids[-1], *donor_appended]
        donor, resid_post = read_donor(self.loaded, self.donor_past, ids, positions)
        ids, of = [self.pair.clean_ids[-1], *appended], (self.rows, self.rows_per_batch)
        found = run_tails(self.loaded, self.past, ids, *of, resid_post, positions)
        return torch.cat([found, donor[None]])


def _gap(log_p: Tensor, for_ids: Sequence[int], against_ids: Sequence[int]) -> np.ndarray:
    first, second = (log_p[:, list(ids)].logsumexp(dim=1) for ids in (for_ids, against_ids))
    return _numpy(first - second)


def _numpy(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
