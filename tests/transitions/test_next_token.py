"""Branches are read as if they had been written, and shared out by the longest opening."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import WORDS, save_model
from worlds import random_model, words

from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.transitions.next_token import branches_of, knows, label_log_p, read_branches
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
    positions = np.array([3, 18, 7])
    branches = branches_of([(5, 9, 3), (7,), (8, 2), (5, 4, 2, 2)])
    assert branches == [(5,), (5, 9), (8,), (5, 4), (5, 4, 2)]
    found = read_branches(loaded, ids, positions, branches)
    assert found.sum(axis=2) == pytest.approx(1.0)
    for row, position in enumerate(positions):
        for n, branch in enumerate([(), *branches]):
            expected = plain(loaded, [*ids[: position + 1], *branch])
            assert found[row, n] == pytest.approx(expected, abs=1e-5)


def test_wait_is_shared_out_by_the_words_behind_it(tmp_path: Path) -> None:
    loaded = random_model(tmp_path)
    ids = loaded.tokenizer.get_vocab()
    said = ["Compare", "9", "with", "12", ".", "Check", ":", "under", ".", "Hmm", "."]
    written = [ids[word] for word in said]
    places = np.array([(0, n) for n, word in enumerate(said) if word == "."])
    tokens = words()
    found = np.exp(label_log_p(loaded, [written], places, tokens.openings, tokens.end_ids))
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


def test_words_that_leave_a_label_out_do_not_tell_of_it() -> None:
    tokens, end = words(), len(LABELS)
    assert knows(tokens, np.arange(end + 1))
    fewer = tuple(one for one in tokens.openings if one.state != "deduction")
    assert not knows(replace(tokens, openings=fewer), np.array([LABELS.index("deduction")]))
    assert knows(replace(tokens, openings=fewer), np.array([LABELS.index("backtracking"), end]))
    assert not knows(replace(tokens, end_ids=()), np.array([end]))
