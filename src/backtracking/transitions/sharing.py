"""Whether models share a representation between the histories that lead to one search state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtracking.activations.reader import ActivationStore
from backtracking.domains.organism.grammar import Form
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.corpus import Corpus, read_at
from backtracking.transitions.grammar_view import search_states
from backtracking.transitions.representation import agreement_rows, make_pairs

N_RECENT = 24
"""Tokens whose counts stand for what is written, beside the models."""


def representation_rows(
    corpus: Corpus,
    forms: Sequence[Form | None],
    store_by_role: Mapping[str, ActivationStore],
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """Same test search states by different histories: every model and layer, and the tokens alone.

    Activations are taken at the last token of comparisons, minus their mean over train problems.
    """
    sentence, state, history = search_states(corpus, forms)
    moments = corpus.moments[np.array(sentence, dtype=np.int64)]
    test = np.flatnonzero(moments.split == "test")
    spans = list(zip(moments.trace[test], moments.start[test], moments.end[test], strict=True))
    pairs = make_pairs(
        list(moments.problem[test]),
        [state[row] for row in test],
        [tuple(corpus.token_ids[trace][start:end]) for trace, start, end in spans],
        [history[row] for row in test],
    )
    recent = [corpus.token_ids[trace][max(0, end - N_RECENT) : end] for trace, _, end in spans]
    largest = max(max(ids) for ids in recent)
    counts = np.stack([np.bincount(ids, minlength=largest + 1) for ids in recent]).astype(float)
    found = [
        {"role": "tokens", "layer": None} | row
        for row in agreement_rows(counts - counts.mean(axis=0), pairs, bootstrap)
    ]
    for role, store in store_by_role.items():
        for layer in store.layers:
            values, _ = read_at(store, layer, moments.trace, moments.end - 1)
            x = (values - values[moments.split == "train"].mean(axis=0))[test]
            found += [
                {"role": role, "layer": layer} | row for row in agreement_rows(x, pairs, bootstrap)
            ]
    return found
