"""The matrix of transitions: shares with intervals, entries against a shuffle, and absorption."""

import numpy as np
from jaxtyping import Float

from backtracking.records.rows.transitions import Steps, Transition
from backtracking.statistics.bootstrap import Bootstrap, Statistic
from backtracking.statistics.multiplicity import holm
from backtracking.transitions.sequences import Sequences


def transition_rows(
    sequences: Sequences, n_shuffles: int, bootstrap: Bootstrap, seed: int
) -> list[Transition]:
    """One row per entry whose label occurs: p(to | from), and its test against shuffled labels.

    The null shuffles labels within each trace, so that how often each occurs there stays as it is;
    p is two-sided by distance from the shuffles' mean, Holm-corrected over all rows.
    """
    cells = _cells(sequences)
    n, k, names = sequences.n_labels, sequences.n_symbols, sequences.names
    used = np.flatnonzero(cells.reshape(-1, n, k).sum(axis=(0, 2)) > 0)
    shares = bootstrap.intervals(cells, list(sequences.row_problem), _row_shares(n, k))
    counts = cells.sum(axis=0)
    null = shuffled_counts(sequences, n_shuffles, np.random.default_rng(seed))
    centre = null.mean(axis=0)
    p = (1 + (abs(null - centre) >= abs(counts - centre) - 1e-9).sum(axis=0)) / (1 + n_shuffles)
    entries = [start * k + end for start in used for end in range(k) if _can_follow(end, used, n)]
    adjusted = holm(p[entries])
    totals = null.reshape(-1, n, k).sum(axis=2).clip(min=1)
    null_share = (null.reshape(-1, n, k) / totals[..., None]).mean(axis=0).ravel()
    return [
        Transition(
            names[entry // k],
            names[entry % k],
            shares[entry],
            int(counts[entry]),
            float(null_share[entry]),
            float(p[entry]),
            float(corrected),
        )
        for entry, corrected in zip(entries, adjusted, strict=True)
    ]


def _can_follow(end: int, used: np.ndarray, n_labels: int) -> bool:
    return end == n_labels or end in used


def shuffled_counts(
    sequences: Sequences, n_shuffles: int, rng: np.random.Generator
) -> Float[np.ndarray, "n_shuffles cells"]:
    """Counts of every entry after labels are shuffled within each trace; END stays the last."""
    k = sequences.n_symbols
    found = np.zeros((n_shuffles, sequences.n_labels * k))
    key = np.where(sequences.present, 0.0, 2.0)
    for row in range(n_shuffles):
        order = np.argsort(key + rng.random(key.shape), axis=1)
        mixed = sequences.with_labels(np.take_along_axis(sequences.label, order, axis=1))
        scored = mixed.scored
        code = mixed.label[scored] * k + mixed.target[scored]
        found[row] = np.bincount(code, minlength=found.shape[1])
    return found


def steps_to(sequences: Sequences, absorbing: int, bootstrap: Bootstrap) -> list[Steps]:
    """Expected sentences from each label until one of the `absorbing` label, or END, is written.

    By the fundamental matrix of the chain of order 1: (I - Q)^-1 1, with Q the moves between the
    other labels. A trace that was truncated counts with the moves that it has.
    """
    n, k = sequences.n_labels, sequences.n_symbols
    cells = _cells(sequences)
    seen = cells.reshape(-1, n, k).sum(axis=(0, 2)) > 0
    seen[absorbing] = False
    moving = np.flatnonzero(seen)

    def expected(shares: np.ndarray) -> np.ndarray:
        p = _row_shares(n, k)(shares).reshape(-1, n, k)
        inner = np.nan_to_num(p[:, moving][:, :, moving])
        rank = np.eye(len(moving)) - inner
        solvable = np.linalg.cond(rank) < 1e10
        rank[~solvable] = np.eye(len(moving))
        steps = np.linalg.solve(rank, np.ones((len(rank), len(moving), 1)))[..., 0]
        return np.where(solvable[:, None], steps, np.nan)

    intervals = bootstrap.intervals(cells, list(sequences.row_problem), expected)
    return [
        Steps(sequences.names[label], one) for label, one in zip(moving, intervals, strict=True)
    ]


def _cells(sequences: Sequences) -> Float[np.ndarray, "rows cells"]:
    """A single 1 a row, at (label, what follows)."""
    scored, k = sequences.scored, sequences.n_symbols
    code = sequences.label[scored] * k + sequences.target[scored]
    return np.eye(sequences.n_labels * k)[code]


def _row_shares(n: int, k: int) -> Statistic:
    def of(means: np.ndarray) -> np.ndarray:
        tables = means.reshape(-1, n, k)
        total = tables.sum(axis=2, keepdims=True)
        shares = np.divide(tables, total, out=np.full_like(tables, np.nan), where=total > 0)
        return shares.reshape(len(means), -1)

    return of
