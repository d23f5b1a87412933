"""The study's traces for state models: labels as sequences, and where activations are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.activations.reader import ActivationStore
from backtracking.records.moments import Moments, is_decision
from backtracking.records.traces import Trace
from backtracking.transitions.reduction import fit_whitening
from backtracking.transitions.sequences import LABELS, Sequences, make_sequences


@dataclass(frozen=True)
class Corpus:
    """Traces with their sentences.

    Attributes:
        token_ids: of every trace, prompt first.
        n_prompt: how many of them are the prompt.
        moments: the sentences, in the order of their traces.
        rows: numbers of the sentences, one trace a row, -1 in the padding.
        sequences: labels and targets of the same; without activations.
        split: of each row of `rows`.
        t_star: for a sentence at which something is decided, the position of the token with which
            it was settled whether the search stands at a recognisable dead end; else -1.
    """

    token_ids: Sequence[list[int]]
    n_prompt: Int[np.ndarray, " all_traces"]
    moments: Moments
    rows: Int[np.ndarray, "traces steps"]
    sequences: Sequences
    split: Shaped[np.ndarray, " traces"]
    t_star: Int[np.ndarray, " n"]

    def part(self, split: str) -> Bool[np.ndarray, " traces"]:
        """Which traces are of a split."""
        return self.split == split

    def scored_rows(self, split: str) -> Int[np.ndarray, " rows"]:
        """Numbers of the scored sentences of a split, in the order of its sequences."""
        chosen = self.part(split)
        return self.rows[chosen][self.sequences[chosen].scored]


def make_corpus(
    traces: Sequence[Trace], moments: Moments, p_dead: Mapping[str, Sequence[float | None]]
) -> Corpus:
    """Traces that have a sentence, as a corpus.

    Args:
        traces: as written.
        moments: their exact sentences.
        p_dead: by trace, P(the pending decision is at a dead end | prefix) of each written token.
    """
    lengths = np.array([len(trace.ids) for trace in traces])
    truncated = np.array([trace.finish_reason == "length" for trace in traces])
    was_cut = truncated[moments.trace] & (moments.end == lengths[moments.trace])
    rows = rows_by_trace(moments.trace, was_cut)
    code = np.array([LABELS.index(label) for label in moments.label], dtype=np.int64)
    owner = moments.trace[rows[:, 0]]
    sequences = make_sequences(
        [code[row[row >= 0]] for row in rows],
        [np.zeros(((row >= 0).sum(), 0)) for row in rows],
        [traces[trace].problem_id for trace in owner],
        [not truncated[trace] for trace in owner],
        len(LABELS),
    )
    return Corpus(
        token_ids=[trace.ids for trace in traces],
        n_prompt=np.array([len(trace.prompt_ids) for trace in traces]),
        moments=moments,
        rows=rows,
        sequences=sequences,
        split=np.array([traces[trace].split for trace in owner], dtype=object),
        t_star=settled_at(traces, moments, p_dead),
    )


def rows_by_trace(
    trace: Int[np.ndarray, " n"], was_cut: Bool[np.ndarray, " n"]
) -> Int[np.ndarray, "traces steps"]:
    """Numbers of the sentences, one trace a row, -1 in the padding.

    Args:
        trace: of each sentence, in order.
        was_cut: the sentences that a length limit cut, which are left out.
    """
    kept = np.flatnonzero(~was_cut)
    groups = np.split(kept, np.flatnonzero(np.diff(trace[kept])) + 1)
    rows = np.full((len(groups), max(map(len, groups))), -1, dtype=np.int64)
    for number, group in enumerate(groups):
        rows[number, : len(group)] = group
    return rows


def settled_at(
    traces: Sequence[Trace], moments: Moments, p_dead: Mapping[str, Sequence[float | None]]
) -> Int[np.ndarray, " n"]:
    """t* of every sentence at which something is decided; -1 elsewhere and where it is open.

    The first token of the last run with the same posterior, 0 or 1, since the decision before.
    """
    found = np.full(len(moments), -1, dtype=np.int64)
    since = 0
    for row in np.flatnonzero(is_decision(moments)):
        trace = traces[moments.trace[row]]
        start, end = len(trace.prompt_ids), int(moments.end[row])
        same_trace = since and moments.trace[since - 1] == moments.trace[row]
        first = int(moments.end[since - 1]) if same_trace else start
        known = p_dead[trace.trace_id]
        value = known[end - 1 - start]
        since = row + 1
        if value not in (0.0, 1.0):
            continue
        place = end - 1
        while place > first and known[place - 1 - start] == value:
            place -= 1
        found[row] = place
    return found


def read_at(
    store: ActivationStore,
    layer: int,
    trace: Int[np.ndarray, " rows"],
    position: Int[np.ndarray, " rows"],
) -> tuple[Float[np.ndarray, "rows d_model"], Bool[np.ndarray, " rows"]]:
    """Activations at positions, and which of them the store has; the others are 0."""
    present = store.has(trace, position)
    values = np.zeros((len(trace), store.d_model))
    values[present] = store.gather(layer, trace[present], position[present]).double().numpy()
    return values, present


def whitened(
    values: Float[np.ndarray, "rows d_model"],
    present: Bool[np.ndarray, " rows"],
    is_train: Bool[np.ndarray, " rows"],
    rank: int,
) -> Float[np.ndarray, "rows rank"]:
    """Rows in train-whitened principal components; 0, the mean, where a row is missing."""
    reduced = fit_whitening(values[present & is_train], rank)(values)
    return np.where(present[:, None], reduced, 0.0)


def sentence_ends(
    corpus: Corpus, store: ActivationStore, layer: int, rank: int
) -> Float[np.ndarray, "traces steps rank"]:
    """x of every sentence: the activation at its last token, train-whitened."""
    moments = corpus.moments
    values, present = read_at(store, layer, moments.trace, moments.end - 1)
    x = whitened(values, present, moments.split == "train", rank)
    return np.where((corpus.rows >= 0)[..., None], x[corpus.rows], 0.0)
