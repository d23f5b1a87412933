"""Branches are read as if they had been written, and every first word has one label."""

from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import WORDS, save_model
from written import write

from backtracking import models
from backtracking.models import LoadedModel
from backtracking.organism.grammar import MARKER, STATES, parse_sentence
from backtracking.organism.policy import BasePolicy, Policy, write_walk
from backtracking.transitions import next_token
from backtracking.transitions.next_token import LABEL_BY_FIRST_WORD, end_ids, read_branches
from backtracking.transitions.sequences import END, LABELS


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return models.load(save_model(tmp_path_factory.mktemp(request.param), request.param))


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: list[int]) -> np.ndarray:
    """p(next token) after the last of the ids, by a forward pass of their own."""
    return loaded.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1).numpy()


def test_a_branch_is_read_as_if_it_had_been_written_there(loaded: LoadedModel) -> None:
    ids = torch.randint(6, len(WORDS), (19,), generator=torch.Generator().manual_seed(0)).tolist()
    positions, branch = np.array([3, 18, 7]), [5, 9]
    found = read_branches(loaded, ids, positions, branch)
    assert found.sum(axis=2) == pytest.approx(1.0)
    for row, position in enumerate(positions):
        for n in range(3):
            expected = plain(loaded, [*ids[: position + 1], *branch[:n]])
            assert found[row, n] == pytest.approx(expected, abs=1e-5)


def test_every_first_word_that_is_not_wait_has_the_label_of_its_sentences() -> None:
    random = Random(0)
    written = [s for _ in range(60) for s in write((3, 5, 9, 4), 17, Policy(), random).sentences]
    written += [s for _ in range(20) for s in write_walk((3, 5, 9), 12, BasePolicy(), random)]
    forms = {words: parse_sentence(words) for words in set(written)}
    opened = {words[0] for words in forms}
    assert len(opened) > 12
    for words, form in forms.items():
        assert form is not None
        assert words[0] == MARKER or LABEL_BY_FIRST_WORD[words[0]] == form.state
    assert set(LABEL_BY_FIRST_WORD.values()) == set(STATES)


class Scripted:
    """A language model of the world's words with a fixed law of the next token."""

    def __init__(self, words: list[str], p: dict[tuple[str, ...], dict[str, float]]) -> None:
        self.ids = {word: n for n, word in enumerate(words)}
        self.words, self.p = words, p

    def law(self, context: list[str]) -> np.ndarray:
        """p(next token) after the longest known ending of the context."""
        key = next(k for k in (tuple(context[-2:]), tuple(context[-1:])) if k in self.p)
        found = np.zeros(len(self.words))
        for word, p in self.p[key].items():
            found[self.ids[word]] = p
        return found


def test_wait_is_shared_out_by_the_words_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [".", "Wait", ",", "for", "fine", "7", "Try", "</s>", "is"]
    scripted = Scripted(words, {
        (".",): {"Wait": 0.5, "Try": 0.3, "</s>": 0.1, "is": 0.1},
        ("Wait",): {",": 0.8, "for": 0.2},
        ("Wait", ","): {"fine": 0.25, "7": 0.75},
    })  # fmt: skip
    law = np.stack([scripted.law(one) for one in (["."], ["Wait"], ["Wait", ","])])
    monkeypatch.setattr(next_token, "read_branches", lambda *_: law[None])
    tokenizer = SimpleNamespace(get_vocab=lambda: scripted.ids)
    model = SimpleNamespace(config=SimpleNamespace(vocab_size=len(words)))
    fake: Any = SimpleNamespace(tokenizer=tokenizer, model=model)
    found = np.exp(next_token.label_log_p.__wrapped__(fake, [[0]], np.array([[0, 0]]), [7])[0])
    p = dict(zip((*LABELS, END), found, strict=True))
    assert p["adding-knowledge"] == pytest.approx(0.5 * 0.2)
    assert p["uncertainty-estimation"] == pytest.approx(0.5 * 0.8 * 0.25)
    assert p["backtracking"] == pytest.approx(0.5 * 0.8 * 0.75)
    assert (p["example-testing"], p[END], p["unparsed"]) == pytest.approx((0.3, 0.1, 0.1))
    assert found.sum() == pytest.approx(1.0)


def test_the_end_tokens_are_those_of_the_tokenizer_and_of_the_config(loaded: LoadedModel) -> None:
    assert end_ids(loaded) == [2]
