"""Whether models share a representation between the histories that lead to one search state."""

from collections.abc import Mapping

import numpy as np

from backtracking.activations.reader import ActivationStore
from backtracking.records.rows.transitions import Representation
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.corpus import Corpus, read_at
from backtracking.transitions.representation import agreement_rows, make_pairs

N_RECENT = 24
"""Tokens whose counts stand for what is written, beside the models."""


def representation_rows(
    corpus: Corpus, store_by_role: Mapping[str, ActivationStore], bootstrap: Bootstrap
) -> list[Representation]:
    """Same test search states by different histories: every model and layer, and the tokens alone.

    Activations are taken at the last token of deciding sentences, minus their mean over train
    problems. No rows where no search state is known.
    """
    is_known = np.array([one is not None for one in corpus.sentences.search_state], dtype=bool)
    deciding = corpus.sentences[corpus.sentences.decides & is_known]
    test = deciding[deciding.split == "test"]
    if not len(test):
        return []
    spans = list(zip(test.trace, test.start, test.end, strict=True))
    pairs = make_pairs(
        list(test.problem),
        list(test.search_state),
        [tuple(corpus.token_ids[trace][start:end]) for trace, start, end in spans],
        list(test.history),
    )
    recent = [corpus.token_ids[trace][max(0, end - N_RECENT) : end] for trace, _, end in spans]
    largest = max(max(ids) for ids in recent)
    counts = np.stack([np.bincount(ids, minlength=largest + 1) for ids in recent]).astype(float)
    found = agreement_rows("tokens", None, counts - counts.mean(axis=0), pairs, bootstrap)
    for role, store in store_by_role.items():
        for layer in store.layers:
            values, _ = read_at(store, layer, deciding.trace, deciding.end - 1)
            mean = values[deciding.split == "train"].mean(axis=0)
            centred = values[deciding.split == "test"] - mean
            found += agreement_rows(role, layer, centred, pairs, bootstrap)
    return found
