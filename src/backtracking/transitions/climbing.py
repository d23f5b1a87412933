"""The ladder on the study's traces, from labels to the generator's own law, with its controls."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Shaped

from backtracking.activations.reader import ActivationStore
from backtracking.models.loading import LoadedModel
from backtracking.records.rows.transitions import Cut, Rung
from backtracking.records.tokens import Tokens
from backtracking.records.traces import SPLITS
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import rungs
from backtracking.transitions.comparing import compare
from backtracking.transitions.corpus import Corpus
from backtracking.transitions.next_token import knows, label_log_p
from backtracking.transitions.plan import Plan, Work
from backtracking.transitions.rungs import Climbed, Rows
from backtracking.transitions.scoring import best

Losses = Float[np.ndarray, " test"]


@dataclass(frozen=True)
class Ladder:
    """The rungs of one position.

    Attributes:
        rows: of the position.
        on_text: `labels` and `tokens`.
        on_role: the tokens and the activations of a role, the one under study first.
    """

    rows: Rows
    on_text: dict[str, Climbed]
    on_role: dict[str, Climbed]

    @property
    def rungs(self) -> dict[str, Climbed]:
        """All of them by the name of their row."""
        return self.on_text | {f"tokens_{role}": one for role, one in self.on_role.items()}

    @property
    def problems(self) -> Shaped[np.ndarray, " test"]:
        """The problem of each test row."""
        return self.rows.problem[self.rows.split == "test"]


def climb_everywhere(
    plan: Plan,
    corpus: Corpus,
    store_by_role: Mapping[str, ActivationStore],
    layer: int,
    work: Work,
) -> dict[str, Ladder]:
    """The rungs of every position that train, dev and test have rows of."""
    rows_at = {position: rungs.rows_at(corpus, position) for position in rungs.POSITIONS}
    rows_at = {name: rows for name, rows in rows_at.items() if {*rows.split} >= {*SPLITS}}
    text_at = {position: rungs.text_at(corpus, rows) for position, rows in rows_at.items()}
    on_text = work(
        {
            position: partial(rungs.climb_text, rows, text_at[position], plan.ridges)
            for position, rows in rows_at.items()
        },
        "rungs of text",
    )
    on_role = work(
        {
            (position, role): partial(
                rungs.climb_on, on_text[position]["tokens"], rows, text_at[position],
                rungs.activations_at(store, layer, rows, plan.ladder_rank), plan.ridges,
            )
            for position, rows in rows_at.items()
            for role, store in store_by_role.items()
        },
        "rungs of activations",
    )  # fmt: skip
    return {
        position: Ladder(
            rows, on_text[position], {role: on_role[position, role] for role in store_by_role}
        )
        for position, rows in rows_at.items()
    }


def tabulate(
    position: str, ladder: Ladder, further: Mapping[str, Losses], bootstrap: Bootstrap
) -> list[Rung]:
    """Every rung of a position beside `tokens`; `further` are losses on the same test rows."""
    loss_by_rung = {name: one.loss for name, one in ladder.rungs.items()} | dict(further)
    found = compare(loss_by_rung, ladder.problems, "tokens", bootstrap)
    return [Rung(position, name, score) for name, score in found.items()]


def describe(corpus: Corpus, position: str, ladder: Ladder, bootstrap: Bootstrap) -> Cut:
    """How far ahead a position is, and the first role's gain there beyond the others'."""
    rows, (own, *others) = ladder.rows, ladder.on_role.values()
    test = rows.split == "test"
    ahead = corpus.sentences.end[rows.sentence[test]] - 1 - rows.position[test]
    beyond = [own.loss - other.loss for other in others]
    intervals = (
        bootstrap.intervals(np.stack(beyond, axis=1), list(ladder.problems)) if beyond else []
    )
    return Cut(
        position,
        int(test.sum()),
        float(ahead.mean()),
        dict(zip([*ladder.on_role][1:], intervals, strict=True)),
    )


def floor(plan: Plan, corpus: Corpus, rows: Rows) -> tuple[Losses, float] | None:
    """Losses of the writer's exact law on test rows, and the share of errors chosen on dev.

    A model that learnt from the writer leaves its law now and then, where it has no chance at all.
    None where no law is known.
    """
    laws = corpus.laws
    if laws is None:
        return None

    def missed(share: float, split: str) -> np.ndarray:
        chosen = np.flatnonzero(rows.split == split)
        log_p = softened(laws[rows.sentence[chosen]], share)
        return -log_p[np.arange(len(chosen)), rows.target[chosen]]

    share = best({one: float(missed(one, "dev").mean()) for one in plan.error_shares})
    return missed(share, "test"), share


def softened(
    laws: Float[np.ndarray, "rows symbols"], share: float
) -> Float[np.ndarray, "rows symbols"]:
    """log p where a share of sentences is anything at all, and all where the law is undefined."""
    n = laws.shape[1]
    known = np.where(np.isnan(laws), 1 / n, laws)
    return np.log((1 - share) * known + share / n)


def own_next_token(
    corpus: Corpus, loaded: LoadedModel, rows: Rows, tokens: Tokens, work: Work
) -> Losses | None:
    """Losses of the model's own next-token distribution, summed by label, on test rows.

    None where the words do not tell of all labels that occur there.
    """
    test = np.flatnonzero(rows.split == "test")
    target = rows.target[test]
    if not knows(tokens, np.unique(target)):
        return None
    places = np.stack([rows.trace[test], rows.position[test]], axis=1)
    job = partial(label_log_p, loaded, corpus.token_ids, places, tokens.openings, tokens.end_ids)
    log_p = work({"own": job}, "next tokens")["own"]
    return -log_p[np.arange(len(test)), target]
