"""Branches are read as if they had been written, and every first word has one label."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from tiny_models import WORDS, save_model
from worlds import random_model
from written import write

from backtracking.domains.organism.grammar import MARKER, parse_sentence
from backtracking.domains.organism.policy import BasePolicy, Policy, write_walk
from backtracking.labels.states import STATES
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.transitions.next_token import (
    LABEL_BY_FIRST_WORD,
    end_ids,
    label_log_p,
    read_branches,
)
from backtracking.transitions.sequences import END, LABELS


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_model(tmp_path_factory.mktemp(request.param), request.param))


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


def test_wait_is_shared_out_by_the_words_behind_it(tmp_path: Path) -> None:
    loaded = random_model(tmp_path)
    ids = loaded.tokenizer.get_vocab()
    words = ["Compare", "9", "with", "12", ".", "Check", ":", "under", ".", "Hmm", "."]
    written = [ids[word] for word in words]
    places = np.array([(0, n) for n, word in enumerate(words) if word == "."])
    found = np.exp(label_log_p(loaded, [written], places, [ids["</s>"]]))
    assert found.sum(axis=1) == pytest.approx(1.0)
    for row, (_, position) in enumerate(places):
        prefix = written[: position + 1]
        first, wait, comma = (
            plain(loaded, [*prefix, *behind])
            for behind in ([], [ids["Wait"]], [ids["Wait"], ids[","]])
        )
        knowledge = first[ids["Wait"]] * wait[ids["for"]]
        unsure = first[ids["Wait"]] * wait[ids[","]] * comma[ids["fine"]]
        expected = {
            "adding-knowledge": first[ids["Left"]] + first[ids["Goal"]] + knowledge,
            "uncertainty-estimation": first[ids["Hmm"]] + first[ids["Well"]] + unsure,
            "backtracking": first[ids["Wait"]]
            - knowledge
            - unsure
            + sum(first[ids[word]] for word in ("No", "Dead", "Undo")),
            "example-testing": first[ids["Try"]],
            END: first[ids["</s>"]],
        }
        p: dict[str, float] = dict(zip((*LABELS, END), found[row], strict=True))
        for name, value in expected.items():
            assert p[name] == pytest.approx(value, abs=1e-5)
        assert p["unparsed"] > 0.1


def test_the_end_tokens_are_those_of_the_tokenizer_and_of_the_config(loaded: LoadedModel) -> None:
    assert end_ids(loaded) == [2]
