"""The rungs of the ladder on the study's traces: rows, features, fits and their rows of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import sparse

from backtracking.activations.reader import ActivationStore
from backtracking.records.edges import Edge, edge_of
from backtracking.records.rows.transitions import Rung
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import ladder
from backtracking.transitions.comparing import compare
from backtracking.transitions.corpus import Corpus, read_at, whitened
from backtracking.transitions.plan import Plan, Work

N_RECENT = 12
"""Tokens up to the position that are read by distance; all others count in a bag."""

N_PROMPT = 3
"""Last tokens of the prompt that are read by place: the target stands there."""

SCALE = 0.3
"""Spread of an activation's coordinates. The ridge is common to all features, and a coordinate of
spread 1 would be penalised far less than the one-hot ids, whose spread is 0.1 to 0.3."""

TEXT = ("labels", "tokens")
"""Rungs that read no activation."""

N_COMMON = 512
"""Token ids that are told apart; rarer ones share one."""


@dataclass(frozen=True)
class Rows:
    """What is predicted: what follows each sentence, read at its first token.

    Attributes:
        sentence: number of the current sentence.
        trace, position: where the text is cut, a sentence ahead.
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
class Text:
    """What stands in the traces up to the rows' positions, as codes; -1 is none.

    Attributes:
        finished: labels of the last sentences that end by the position, newest first.
        recent: tokens up to the position, newest first.
        prompt: last tokens of the prompt.
        ids: tokens of every trace.
        place: trace and position of each row.
        n_labels, d_vocab: how many labels and tokens are told apart.
    """

    finished: Int[np.ndarray, "rows back"]
    recent: Int[np.ndarray, "rows recent"]
    prompt: Int[np.ndarray, "rows last"]
    ids: tuple[Int[np.ndarray, " _"], ...]
    place: Int[np.ndarray, "rows 2"]
    n_labels: int
    d_vocab: int

    def labels(self) -> sparse.csr_matrix:
        """Features of the labels alone."""
        return ladder.label_features(self.finished, self.n_labels)

    def tokens(self) -> sparse.csr_matrix:
        """Features of the labels, and of the token ids as well."""
        return ladder.joined(
            self.labels(),
            ladder.token_features(self.recent, self.prompt, self.d_vocab),
            ladder.bag_features(self.ids, self.place, self.d_vocab),
        )


@dataclass(frozen=True)
class Climbed:
    """A fitted rung.

    Attributes:
        loss: -log p of each test row.
        ridge: chosen on dev.
        edge: where it lies in its grid.
        model: the regression.
    """

    loss: Float[np.ndarray, " test"]
    ridge: float
    edge: Edge
    model: ladder.Softmax


def rows_of(corpus: Corpus) -> Rows:
    """The scored sentences, and where the text before each prediction is cut."""
    scored = corpus.sequences.scored
    sentence, target = corpus.rows[scored], corpus.sequences.target[scored]
    its = corpus.sentences[sentence]
    return Rows(sentence, its.trace, its.start, target, its.split, its.problem)


def text_at(corpus: Corpus, rows: Rows) -> Text:
    """What can be read up to each position."""
    code = _common(corpus)
    ids = tuple(code[np.asarray(one)] for one in corpus.token_ids)
    back = rows.position[:, None] - np.arange(N_RECENT)
    recent = np.array(
        [
            np.where(places >= 0, ids[trace][places.clip(min=0)], -1)
            for trace, places in zip(rows.trace, back, strict=True)
        ]
    )
    ends = corpus.n_prompt[rows.trace, None] - np.arange(N_PROMPT, 0, -1)
    prompt = np.array(
        [
            np.where(places >= 0, ids[trace][places.clip(min=0)], -1)
            for trace, places in zip(rows.trace, ends, strict=True)
        ]
    )
    return Text(
        finished=_finished_labels(corpus, rows),
        recent=recent,
        prompt=prompt,
        ids=ids,
        place=np.stack([rows.trace, rows.position], axis=1),
        n_labels=corpus.sequences.n_labels,
        d_vocab=int(code.max()) + 1,
    )


def climb(
    plan: Plan,
    corpus: Corpus,
    store_by_role: Mapping[str, ActivationStore],
    layer: int,
    work: Work,
    bootstrap: Bootstrap,
) -> list[Rung]:
    """Every rung beside `tokens`: labels, tokens, and these with the activations of each role."""
    rows = rows_of(corpus)
    text = text_at(corpus, rows)
    # The longest first: `tokens` has by far the most features.
    of_text = {name: partial(climb_text, name, rows, text, plan.ridges) for name in TEXT[::-1]}
    fitted = work(of_text, "rungs of text")
    found = {name: fitted[name] for name in TEXT}
    jobs = {
        f"tokens_{role}": partial(
            climb_on, found["tokens"], rows, text,
            activations_at(store, layer, rows, plan.ladder_rank), plan.ridges,
        )
        for role, store in store_by_role.items()
    }  # fmt: skip
    found |= work(jobs, "rungs of activations")
    problem = rows.problem[rows.split == "test"]
    scores = compare({name: one.loss for name, one in found.items()}, problem, "tokens", bootstrap)
    return [Rung(name, scores[name], one.ridge, one.edge) for name, one in found.items()]


def climb_text(name: str, rows: Rows, text: Text, ridges: Sequence[float]) -> Climbed:
    """One of the rungs `TEXT`."""
    features = text.labels() if name == "labels" else text.tokens()
    return _fit(rows, features, text.n_labels, ridges, None)


def climb_on(
    tokens: Climbed,
    rows: Rows,
    text: Text,
    x: Float[np.ndarray, "rows rank"],
    ridges: Sequence[float],
) -> Climbed:
    """The rung of the tokens and one model's activations."""
    features = ladder.joined(text.tokens(), sparse.csr_matrix(x))
    return _fit(rows, features, text.n_labels, ridges, tokens.model)


def activations_at(
    store: ActivationStore, layer: int, rows: Rows, rank: int
) -> Float[np.ndarray, "rows rank"]:
    """Train-whitened activations at the rows' positions, of spread `SCALE`; 0 where missing."""
    values, present = read_at(store, layer, rows.trace, rows.position)
    return SCALE * whitened(values, present, rows.split == "train", rank)


def _fit(
    rows: Rows,
    features: sparse.csr_matrix,
    n_labels: int,
    ridges: Sequence[float],
    start: ladder.Softmax | None,
) -> Climbed:
    train, dev, test = (np.flatnonzero(rows.split == one) for one in ("train", "dev", "test"))
    model, ridge = ladder.choose_softmax(
        (features[train], features[dev]), (rows.target[train], rows.target[dev]),
        n_labels + 1, ridges, start,
    )  # fmt: skip
    loss = model.losses(features[test], rows.target[test])
    return Climbed(loss, ridge, edge_of(ridge, ridges), model)


def _finished_labels(corpus: Corpus, rows: Rows) -> Int[np.ndarray, "rows back"]:
    """Labels of the last sentences that end by the position, newest first; -1 is none."""
    sentences = corpus.sentences
    label = np.full(len(sentences), -1, dtype=np.int64)
    present = corpus.rows >= 0
    label[corpus.rows[present]] = corpus.sequences.label[present]
    key = sentences.trace.astype(np.int64) * 2**32
    finished = np.searchsorted(key + sentences.end, key[rows.sentence] + rows.position + 1, "right")
    back = finished[:, None] - 1 - np.arange(ladder.N_LABELS_BACK)
    inside = (back >= 0) & (sentences.trace[back.clip(min=0)] == rows.trace[:, None])
    return np.where(inside, label[back.clip(min=0)], -1)


def _common(corpus: Corpus) -> Int[np.ndarray, " d_vocab"]:
    """A small code of every token id: its rank among those of train traces, or the last code."""
    train = np.unique(corpus.sentences.trace[corpus.sentences.split == "train"])
    everything = np.concatenate([np.asarray(ids) for ids in corpus.token_ids])
    seen = np.concatenate([np.asarray(corpus.token_ids[trace]) for trace in train])
    counts = np.bincount(seen, minlength=int(everything.max()) + 1)
    order = np.argsort(-counts, kind="stable")[:N_COMMON]
    order = order[counts[order] > 0]
    code = np.full(len(counts), len(order), dtype=np.int64)
    code[order] = np.arange(len(order))
    return code
