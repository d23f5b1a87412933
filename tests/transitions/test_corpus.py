"""The study's traces as sequences, against the records that they come from."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_study import Planted, TinyStudy, write_study

from backtracking.records.posteriors import Laws
from backtracking.transitions import rungs
from backtracking.transitions.corpus import laws_of, sentence_ends
from backtracking.transitions.sequences import END, LABELS


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(30, 2, splits=("train", "train", "dev", "test", "test"), longest=240)


def test_every_whole_sentence_of_every_trace_has_its_label_and_the_cut_one_is_left_out(
    study: TinyStudy,
) -> None:
    corpus, sentences = study.corpus, study.sentences
    for row, trace in zip(corpus.rows, study.traces, strict=True):
        own = row[row >= 0]
        cut = trace.finish_reason == "length"
        assert (sentences.trace[own] == study.traces.index(trace)).all()
        n = (sentences.trace == study.traces.index(trace)).sum()
        assert len(own) == n - cut
        labels = corpus.sequences.label[np.flatnonzero((corpus.rows == row).all(axis=1))[0]]
        assert [LABELS[code] for code in labels[: len(own)]] == list(sentences.state[own])
    assert any(trace.finish_reason == "length" for trace in study.traces)


def test_end_follows_the_answer_of_finished_traces_only(study: TinyStudy) -> None:
    sequences = study.corpus.sequences
    before_end = sequences.label[sequences.target == sequences.n_labels]
    assert {LABELS[code] for code in before_end} == {"final-answer"}
    finished = [trace.finish_reason == "stop" for trace in study.traces]
    assert sequences.ended.tolist() == finished


def test_laws_are_rows_of_the_sentences_in_the_order_of_the_labels(study: TinyStudy) -> None:
    corpus, sentences = study.corpus, study.sentences
    assert corpus.laws is not None
    for row in (0, 7, len(sentences) - 1):
        own = study.laws[sentences.trace_id[row]]
        by_name = dict(zip(own.symbols, own.p[sentences.index[row]], strict=True))
        assert np.array_equal(
            corpus.laws[row], [by_name[name] for name in (*LABELS, END)], equal_nan=True
        )
    turned = {name: Laws(one.symbols[::-1], one.p[:, ::-1]) for name, one in study.laws.items()}
    assert np.array_equal(corpus.laws, laws_of(sentences, turned), equal_nan=True)


def test_activations_at_sentence_ends_are_white_on_train(study: TinyStudy) -> None:
    store = Planted(
        study.sentences, lambda m: np.eye(len(LABELS))[[LABELS.index(x) for x in m.state]]
    )
    x = sentence_ends(study.corpus, store, 1, 4)
    train = study.corpus.part("train")
    values = x[train][study.corpus.sequences[train].present]
    assert abs(np.cov(values.T) - np.eye(4)).max() < 0.1
    assert not x[study.corpus.rows < 0].any()


def test_no_feature_of_the_text_reads_behind_the_first_token(study: TinyStudy) -> None:
    """Tokens behind the position, and labels of sentences that end behind it, are altered."""
    corpus = study.corpus
    rows = rungs.rows_of(corpus)
    before = rungs.text_at(corpus, rows).tokens()
    row = len(rows.position) // 2
    trace, place = rows.trace[row], rows.position[row]
    ids = [list(one) for one in corpus.token_ids]
    ids[trace][place + 1 :] = ids[trace][place + 1 :][::-1]
    label = corpus.sequences.label.copy()
    late = np.isin(
        corpus.rows,
        np.flatnonzero((corpus.sentences.trace == trace) & (corpus.sentences.end > place + 1)),
    ) & (corpus.rows >= 0)  # fmt: skip
    label[late] = 0
    other = replace(corpus, token_ids=ids, sequences=corpus.sequences.with_labels(label))
    after = rungs.text_at(other, rows).tokens()
    assert abs(before[row] - after[row]).sum() == 0
    assert late.any()
    assert abs(before - after).sum() > 0


def test_the_prompts_target_is_among_the_features(study: TinyStudy) -> None:
    corpus = study.corpus
    rows = rungs.rows_of(corpus)
    text = rungs.text_at(corpus, rows)
    labels, tokens = text.labels(), text.tokens()
    assert tokens.get_shape()[1] > labels.get_shape()[1] + 1000
    per_row = np.diff(tokens.indptr) - np.diff(labels.indptr)
    assert (per_row > rungs.N_PROMPT).all()
