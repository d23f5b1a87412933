"""What knows more than any state model: the writer's law, and what the model itself says next."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from backtracking.models.loading import LoadedModel
from backtracking.records.rows.transitions import Setting
from backtracking.records.tokens import Tokens
from backtracking.transitions.corpus import Corpus
from backtracking.transitions.next_token import knows, label_log_p
from backtracking.transitions.plan import Work
from backtracking.transitions.smoothing import best_strength

Losses = Float[np.ndarray, " test"]
"""-log p of what followed each scored test sentence."""


def by_law(corpus: Corpus) -> tuple[Losses, Setting] | None:
    """Losses of the writer's exact law, and in how many dev sentences a model may leave it.

    A model that learnt from the writer leaves its law now and then, where it has no chance at all:
    in so many of the dev sentences anything may follow. None where no law is known.
    """
    if corpus.laws is None:
        return None
    laws, sequences = corpus.laws, corpus.sequences

    def missed(left: float, split: str) -> np.ndarray:
        chosen = corpus.part(split)
        target = sequences[chosen].target[sequences[chosen].scored]
        log_p = softened(laws[corpus.scored_rows(split)], left / (left + n_dev))
        return -log_p[np.arange(len(target)), target]

    n_dev = len(corpus.scored_rows("dev"))
    left = best_strength(lambda one: float(missed(one, "dev").sum()))
    return missed(left, "test"), Setting(float(missed(left, "dev").mean()), (left,))


def softened(
    laws: Float[np.ndarray, "rows symbols"], share: float
) -> Float[np.ndarray, "rows symbols"]:
    """log p where a share of sentences is anything at all, and all where the law is undefined."""
    n = laws.shape[1]
    known = np.where(np.isnan(laws), 1 / n, laws)
    return np.log((1 - share) * known + share / n)


def by_the_model(corpus: Corpus, loaded: LoadedModel, tokens: Tokens, work: Work) -> Losses | None:
    """Losses of the model's own next-token distribution, summed by label.

    None where the words do not tell of all labels that occur.
    """
    test = corpus.sequences[corpus.part("test")]
    target, rows = test.target[test.scored], corpus.scored_rows("test")
    if not knows(tokens, np.unique(target)):
        return None
    places = np.stack([corpus.sentences.trace[rows], corpus.sentences.end[rows] - 1], axis=1)
    ids: Sequence[Sequence[int]] = corpus.token_ids
    job = partial(label_log_p, loaded, ids, places, tokens.openings, tokens.end_ids)
    log_p = work({"own": job}, "next tokens")["own"]
    return -log_p[np.arange(len(target)), target]
