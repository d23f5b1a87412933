"""Branches are read as if they had been written, and shared out by the longest opening."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import make_model, words

from backtracking.models.loading import LoadedModel
from backtracking.transitions.next_token import knows, label_log_p
from backtracking.transitions.sequences import END, LABELS


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: list[int]) -> np.ndarray:
    """p(next token) after the last of the ids, by a forward pass of their own."""
    return loaded.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1).numpy()


def test_wait_is_shared_out_by_the_words_behind_it(tmp_path: Path) -> None:
    loaded = make_model(tmp_path, scale=20.0)
    ids = loaded.tokenizer.get_vocab()
    said = ["Compare", "9", "with", "12", ".", "Check", ":", "under", ".", "Hmm", "."]
    written = [ids[word] for word in said]
    places = np.array([(0, n) for n, word in enumerate(said) if word == "."])
    tokens = words()
    found = np.exp(label_log_p(loaded, [written], places, tokens.openings, tokens.end_ids))
    assert found.sum(axis=1) == pytest.approx(1.0)
    for row, (_, position) in enumerate(places):
        prefix = written[: position + 1]
        first, wait = (plain(loaded, [*prefix, *behind]) for behind in ([], [ids["Wait"]]))
        knowledge = first[ids["Wait"]] * wait[ids["for"]]
        expected = {
            "adding-knowledge": first[ids["Left"]] + first[ids["Goal"]] + knowledge,
            "uncertainty-estimation": first[ids["Hmm"]] + first[ids["Well"]],
            "backtracking": first[ids["Wait"]]
            - knowledge
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
