"""The ladder on the study's traces, from labels to the generator's own law, with its controls."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float

from backtracking.activations.reader import ActivationStore
from backtracking.models.loading import LoadedModel
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import rungs
from backtracking.transitions.corpus import Corpus
from backtracking.transitions.grammar_view import softened
from backtracking.transitions.next_token import label_log_p
from backtracking.transitions.plan import Plan
from backtracking.transitions.rungs import Climbed, Rows
from backtracking.transitions.scoring import best, compare


def climb_everywhere(
    plan: Plan, corpus: Corpus, store_by_role: Mapping[str, ActivationStore], layer: int
) -> dict[str, tuple[Rows, dict[str, Climbed]]]:
    """The rungs of every position."""
    found = {}
    for position in rungs.POSITIONS:
        rows = rungs.rows_at(corpus, position)
        x_by_role = {
            role: rungs.activations_at(store, layer, rows, plan.ladder_rank)
            for role, store in store_by_role.items()
        }
        text = rungs.text_features(corpus, rows)
        n_symbols = corpus.sequences.n_symbols
        found[position] = rows, rungs.climb(rows, text, x_by_role, n_symbols, plan.ridges)
    return found


def tabulate(
    corpus: Corpus,
    rows: Rows,
    loss_by_rung: Mapping[str, Float[np.ndarray, " test"]],
    roles: Sequence[str],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """One position: every rung beside `tokens`, and the first role's gain beyond the others'.

    Args:
        corpus: the study's traces.
        rows: of the position.
        loss_by_rung: losses of the test rows.
        roles: whose activations were read, the one under study first.
        bootstrap: intervals by problem.
    """
    test = rows.split == "test"
    problem = rows.problem[test]
    ahead = corpus.moments.end[rows.sentence[test]] - 1 - rows.position[test]
    own = loss_by_rung[f"tokens_{roles[0]}"]
    beyond = {role: own - loss_by_rung[f"tokens_{role}"] for role in roles[1:]}
    intervals = (
        bootstrap.intervals(np.stack(list(beyond.values()), axis=1), list(problem))
        if beyond
        else []
    )
    return {
        "rungs": compare(loss_by_rung, problem, "tokens", bootstrap),
        "difference_to_controls": {
            role: asdict(one) for role, one in zip(beyond, intervals, strict=True)
        },
        "n_rows": int(test.sum()),
        "tokens_before_the_sentences_end": float(ahead.mean()),
    }


def floor(
    plan: Plan, corpus: Corpus, laws: Float[np.ndarray, "n symbols"], rows: Rows
) -> tuple[Float[np.ndarray, " test"], float]:
    """Losses of the generator's exact law on test rows, and the share of errors chosen on dev.

    A model that learnt the policy leaves it now and then, where the law gives it no chance at all.
    """

    def missed(share: float, split: str) -> np.ndarray:
        chosen = np.flatnonzero(rows.split == split)
        log_p = softened(laws[rows.sentence[chosen]], share)
        return -log_p[np.arange(len(chosen)), rows.target[chosen]]

    share = best({one: float(missed(one, "dev").mean()) for one in plan.error_shares})
    return missed(share, "test"), share


def own_next_token(
    corpus: Corpus, loaded: LoadedModel, rows: Rows, end_ids: Sequence[int]
) -> Float[np.ndarray, " test"]:
    """Losses of the model's own next-token distribution, summed by label, on test rows."""
    test = np.flatnonzero(rows.split == "test")
    places = np.stack([rows.trace[test], rows.position[test]], axis=1)
    log_p = label_log_p(loaded, corpus.token_ids, places, end_ids)
    return -log_p[np.arange(len(test)), rows.target[test]]
