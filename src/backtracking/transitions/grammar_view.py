"""What the grammar says of the study's sentences: their forms, the policy's law, search states."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from backtracking.domains.organism.grammar import Form, parse_sentence, split_sentences
from backtracking.domains.organism.next_state import next_state_laws
from backtracking.domains.organism.policy import Policy
from backtracking.records.moments import is_decision
from backtracking.transitions.corpus import Corpus
from backtracking.transitions.sequences import LABELS


def forms_of(corpus: Corpus, word_by_id: Sequence[str]) -> list[Form | None]:
    """The form of every sentence; None where it is none of the world's."""
    moments = corpus.moments
    return [
        parse_sentence([str(word_by_id[token]) for token in corpus.token_ids[trace][start:end]])
        for trace, start, end in zip(moments.trace, moments.start, moments.end, strict=True)
    ]


def targets_of(corpus: Corpus, word_by_id: Sequence[str]) -> list[int]:
    """The target of every trace, read from its prompt; 0 where it names none."""
    found = []
    for ids, n_prompt in zip(corpus.token_ids, corpus.n_prompt, strict=True):
        words = [word_by_id[token] for token in ids[:n_prompt]]
        forms = [parse_sentence(words[start:end]) for start, end in split_sentences(words)]
        named = [form.numbers[0] for form in forms if form and form.name == "target"]
        found.append(named[0] if named else 0)
    return found


def policy_laws(
    corpus: Corpus, forms: Sequence[Form | None], targets: Sequence[int], policy: Policy
) -> Float[np.ndarray, "n symbols"]:
    """The generator's p(next symbol | prefix) after every sentence; NaN where it writes no such.

    The policy never writes what does not parse, so `unparsed` has probability 0.
    """
    trace = corpus.moments.trace
    laws = np.full((len(trace), len(LABELS) + 1), np.nan)
    for one in np.unique(trace):
        rows = np.flatnonzero(trace == one)
        law = next_state_laws([forms[row] for row in rows.tolist()], targets[int(one)], policy)
        laws[rows, : len(LABELS) - 1], laws[rows, -1] = law[:, :-1], law[:, -1]
        laws[rows, len(LABELS) - 1] = np.where(np.isnan(law[:, 0]), np.nan, 0.0)
    return laws


def softened(
    laws: Float[np.ndarray, "rows symbols"], share: float
) -> Float[np.ndarray, "rows symbols"]:
    """log p where a share of sentences is anything at all, and all where the law is undefined."""
    n = laws.shape[1]
    known = np.where(np.isnan(laws), 1 / n, laws)
    return np.log((1 - share) * known + share / n)


def search_states(
    corpus: Corpus, forms: Sequence[Form | None]
) -> tuple[list[int], list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Comparisons: their numbers, the search states where they stand, and how these were reached.

    A state is the true total and the numbers left to try; a history is every step taken and undone
    so far, so that a hesitation makes no new history.
    """
    moments, decides = corpus.moments, is_decision(corpus.moments)
    rows, states, histories = [], [], []
    left: tuple[int, ...] = ()
    moves: list[int] = []
    for row, form in enumerate(forms):
        if not row or moments.trace[row] != moments.trace[row - 1]:
            left, moves = (), []
        if form is None:
            continue
        if form.name == "left":
            left = tuple(sorted(form.numbers))
        elif form.name in ("try", "undo"):
            moves = [*moves, form.numbers[0] if form.name == "try" else -form.numbers[0]]
        elif decides[row]:
            rows.append(row)
            states.append((int(moments.total[row]), *left))
            histories.append(tuple(moves))
    return rows, states, histories
