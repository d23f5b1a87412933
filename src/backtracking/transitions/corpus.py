"""The study's traces for state models: labels as sequences, laws, and activations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.activations.reader import ActivationStore
from backtracking.records.columns import Sentences
from backtracking.records.posteriors import Laws
from backtracking.records.traces import Trace
from backtracking.transitions.reduction import fit_whitening
from backtracking.transitions.sequences import END, LABELS, Sequences, make_sequences


@dataclass(frozen=True)
class Corpus:
    """Traces with their sentences.

    Attributes:
        token_ids: of every trace, prompt first.
        n_prompt: how many of them are the prompt.
        sentences: as the primary labeller has them, in the order of their traces.
        rows: numbers of the sentences, one trace a row, -1 in the padding.
        sequences: labels and targets of the same; without activations.
        split: of each row of `rows`.
        laws: the writer's p(label or END that is next | prefix) after each sentence, NaN where it
            writes no such prefix; None where it is not known.
    """

    token_ids: Sequence[list[int]]
    n_prompt: Int[np.ndarray, " all_traces"]
    sentences: Sentences
    rows: Int[np.ndarray, "traces steps"]
    sequences: Sequences
    split: Shaped[np.ndarray, " traces"]
    laws: Float[np.ndarray, "n symbols"] | None

    def part(self, split: str) -> Bool[np.ndarray, " traces"]:
        """Which traces are of a split."""
        return self.split == split

    def scored_rows(self, split: str) -> Int[np.ndarray, " rows"]:
        """Numbers of the scored sentences of a split, in the order of its sequences."""
        chosen = self.part(split)
        return self.rows[chosen][self.sequences[chosen].scored]


def make_corpus(
    traces: Sequence[Trace],
    sentences: Sentences,
    laws: Mapping[str, Laws] | None,
) -> Corpus:
    """Traces that have a sentence, as a corpus.

    Args:
        traces: as written.
        sentences: all of theirs.
        laws: the writer's, by trace; None where it is not known.
    """
    lengths = np.array([len(trace.ids) for trace in traces])
    truncated = np.array([trace.finish_reason == "length" for trace in traces])
    was_cut = truncated[sentences.trace] & (sentences.end == lengths[sentences.trace])
    rows = rows_by_trace(sentences.trace, was_cut)
    code = np.array([LABELS.index(state) for state in sentences.state], dtype=np.int64)
    owner = sentences.trace[rows[:, :1].ravel()]  # of no sentences there is no first
    return Corpus(
        token_ids=[trace.ids for trace in traces],
        n_prompt=np.array([len(trace.prompt_ids) for trace in traces]),
        sentences=sentences,
        rows=rows,
        sequences=make_sequences(
            [code[row[row >= 0]] for row in rows],
            [np.zeros(((row >= 0).sum(), 0)) for row in rows],
            [traces[trace].problem_id for trace in owner],
            [not truncated[trace] for trace in owner],
            len(LABELS),
        ),
        split=np.array([traces[trace].split for trace in owner], dtype=object),
        laws=None if laws is None else laws_of(sentences, laws),
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
    if not len(kept):
        return np.zeros((0, 0), dtype=np.int64)
    groups = np.split(kept, np.flatnonzero(np.diff(trace[kept])) + 1)
    rows = np.full((len(groups), max(map(len, groups))), -1, dtype=np.int64)
    for number, group in enumerate(groups):
        rows[number, : len(group)] = group
    return rows


def laws_of(sentences: Sentences, laws: Mapping[str, Laws]) -> Float[np.ndarray, "n symbols"]:
    """The laws as rows of the sentences, columns as in `Sequences`."""
    found = np.full((len(sentences), len(LABELS) + 1), np.nan)
    trace, names = sentences.codes("trace_id")
    for number, name in enumerate(names):
        rows = np.flatnonzero(trace == number)
        columns = [laws[name].symbols.index(symbol) for symbol in (*LABELS, END)]
        found[rows] = laws[name].p[sentences.index[rows]][:, columns]
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
    sentences = corpus.sentences
    values, present = read_at(store, layer, sentences.trace, sentences.end - 1)
    x = whitened(values, present, sentences.split == "train", rank)
    return np.where((corpus.rows >= 0)[..., None], x[corpus.rows], 0.0)
