"""The rungs of the ladder on the study's traces: rows, features and fits at each position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import sparse

from backtracking.activations.reader import ActivationStore
from backtracking.transitions import ladder
from backtracking.transitions.corpus import Corpus, read_at, whitened

POSITIONS = ("before_t_star", "first", "end")
"""Where the text is cut, the earliest first; `end` is the token before the predicted sentence."""

N_RECENT = 12
"""Tokens up to the position that are read by distance; all others count in a bag."""

N_PROMPT = 3
"""Last tokens of the prompt that are read by place: the target stands there."""

SCALE = 0.3
"""Spread of an activation's coordinates. The ridge is common to all features, and a coordinate of
spread 1 would be penalised far less than the one-hot ids, whose spread is 0.1 to 0.3."""

N_COMMON = 512
"""Token ids that are told apart; rarer ones share one."""


@dataclass(frozen=True)
class Rows:
    """The rows of one position.

    Attributes:
        sentence: number of the current sentence.
        trace, position: where the text is cut.
        target: code of what follows the current sentence.
        split, problem: of its trace.
    """

    sentence: Int[np.ndarray, " rows"]
    trace: Int[np.ndarray, " rows"]
    position: Int[np.ndarray, " rows"]
    target: Int[np.ndarray, " rows"]
    split: Shaped[np.ndarray, " rows"]
    problem: Shaped[np.ndarray, " rows"]


@dataclass(frozen=True)
class Climbed:
    """A fitted rung.

    Attributes:
        loss: -log p of each test row.
        ridge: chosen on dev.
        model: the regression.
    """

    loss: Float[np.ndarray, " test"]
    ridge: float
    model: ladder.Softmax


def rows_at(corpus: Corpus, position: str) -> Rows:
    """The scored sentences, and where the text before each prediction is cut."""
    scored = corpus.sequences.scored
    sentence, target = corpus.rows[scored], corpus.sequences.target[scored]
    places = {
        "end": corpus.moments.end - 1,
        "first": corpus.moments.start,
        "before_t_star": np.where(corpus.t_star > 0, corpus.t_star - 1, -1),
    }
    place = places[position][sentence]
    kept = place >= 0
    sentence = sentence[kept]
    moments = corpus.moments[sentence]
    return Rows(sentence, moments.trace, place[kept], target[kept], moments.split, moments.problem)


def text_features(corpus: Corpus, rows: Rows) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """What can be read up to each position: labels of finished sentences; and token ids as well."""
    n = corpus.sequences.n_labels
    labels = ladder.label_features(_finished_labels(corpus, rows), n)
    code = _common(corpus)
    ids = [code[np.asarray(one)] for one in corpus.token_ids]
    d_vocab = int(code.max()) + 1
    back = rows.position[:, None] - np.arange(N_RECENT)
    recent = np.array(
        [
            np.where(places >= 0, ids[trace][places.clip(min=0)], -1)
            for trace, places in zip(rows.trace, back, strict=True)
        ]
    )
    prompt = np.array(
        [ids[t][corpus.n_prompt[t] - N_PROMPT : corpus.n_prompt[t]] for t in rows.trace]
    )
    blocks = (
        ladder.token_features(recent, prompt, d_vocab),
        ladder.bag_features(ids, np.stack([rows.trace, rows.position], axis=1), d_vocab),
    )
    return labels, sparse.csr_matrix(sparse.hstack([labels, *blocks]))


def climb(
    rows: Rows,
    text: tuple[sparse.csr_matrix, sparse.csr_matrix],
    x_by_role: Mapping[str, Float[np.ndarray, "rows rank"]],
    n_symbols: int,
    ridges: Sequence[float],
) -> dict[str, Climbed]:
    """The rungs `labels`, `tokens`, and `tokens_<role>` with each role's activation added.

    More features call for no weaker a penalty, so with activations only those are tried that are
    at least as strong as the one that was chosen for the tokens.
    """
    labels, tokens = text
    found = {"labels": _fit(rows, labels, n_symbols, ridges, None)}
    found["tokens"] = _fit(rows, tokens, n_symbols, ridges, found["labels"].model)
    stronger = [ridge for ridge in ridges if ridge >= found["tokens"].ridge]
    for role, x in x_by_role.items():
        joint = sparse.csr_matrix(sparse.hstack([tokens, sparse.csr_matrix(x)]))
        found[f"tokens_{role}"] = _fit(rows, joint, n_symbols, stronger, found["tokens"].model)
    return found


def activations_at(
    store: ActivationStore, layer: int, rows: Rows, rank: int
) -> Float[np.ndarray, "rows rank"]:
    """Train-whitened activations at the rows' positions, of spread `SCALE`; 0 where missing."""
    values, present = read_at(store, layer, rows.trace, rows.position)
    return SCALE * whitened(values, present, rows.split == "train", rank)


def _fit(
    rows: Rows,
    features: sparse.csr_matrix,
    n_symbols: int,
    ridges: Sequence[float],
    start: ladder.Softmax | None,
) -> Climbed:
    train, dev, test = (np.flatnonzero(rows.split == one) for one in ("train", "dev", "test"))
    model, ridge = ladder.choose_softmax(
        (features[train], features[dev]), (rows.target[train], rows.target[dev]), n_symbols,
        ridges, start,
    )  # fmt: skip
    log_p = model.log_p(features[test])
    return Climbed(-log_p[np.arange(len(test)), rows.target[test]], ridge, model)


def _finished_labels(corpus: Corpus, rows: Rows) -> Int[np.ndarray, "rows back"]:
    """Labels of the last sentences that end by the position, newest first; -1 is none."""
    moments = corpus.moments
    label = np.full(len(moments), -1, dtype=np.int64)
    present = corpus.rows >= 0
    label[corpus.rows[present]] = corpus.sequences.label[present]
    key = moments.trace.astype(np.int64) * 2**32
    finished = np.searchsorted(key + moments.end, key[rows.sentence] + rows.position + 1, "right")
    back = finished[:, None] - 1 - np.arange(ladder.N_LABELS_BACK)
    inside = (back >= 0) & (moments.trace[back.clip(min=0)] == rows.trace[:, None])
    return np.where(inside, label[back.clip(min=0)], -1)


def _common(corpus: Corpus) -> Int[np.ndarray, " d_vocab"]:
    """A small code of every token id: its rank among those of train traces, or the last code."""
    train = np.unique(corpus.moments.trace[corpus.moments.split == "train"])
    everything = np.concatenate([np.asarray(ids) for ids in corpus.token_ids])
    seen = np.concatenate([np.asarray(corpus.token_ids[trace]) for trace in train])
    counts = np.bincount(seen, minlength=int(everything.max()) + 1)
    order = np.argsort(-counts, kind="stable")[:N_COMMON]
    order = order[counts[order] > 0]
    code = np.full(len(counts), len(order), dtype=np.int64)
    code[order] = np.arange(len(order))
    return code


def describe(climbed: Climbed) -> dict[str, Any]:
    """What was chosen on dev for a rung."""
    return {"ridge": climbed.ridge, "n_features": len(climbed.model.weight) - 1}
