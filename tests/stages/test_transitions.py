"""The stage on the policy's own traces, with activations that hold what was planted in them."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from intervals import known
from tiny_study import Planted, TinyStudy, make_model, words, write_study

from backtracking.activations.reader import ActivationStore
from backtracking.models.loading import LoadedModel
from backtracking.records.columns import Sentences
from backtracking.records.rows.table import Tables
from backtracking.records.rows.transitions import (
    Compared,
    Representation,
    Rung,
    Selection,
    StateModel,
    VarianceShare,
)
from backtracking.stages.transitions import TABLES, Params, SideBySide, run, write
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import registry
from backtracking.transitions.corpus import make_corpus
from lifeboat.stage.units import Units

PLAN: dict[str, Any] = {
    "rank": 4, "place_states": 8, "hmm_states": (6, 8), "slds_states": (2,), "n_starts": 1,
    "tolerance": 1e-4, "max_rounds": 500, "ladder_rank": 8, "ridges": (1e-1, 1e-2, 1e-3), "seed": 0,
    "n_processes": 1,
}  # fmt: skip


def next_action(sentences: Sentences) -> np.ndarray:
    """Whether the trace backtracks next, and noise: what no text tells."""
    rng = np.random.default_rng(0)
    acts = np.zeros((len(sentences), 6))
    acts[:, 0] = 3.0 * (sentences.action == "turns")
    acts[:, 1] = 3.0 * sentences.decides
    return acts + 0.3 * rng.standard_normal(acts.shape)


def noise(sentences: Sentences) -> np.ndarray:
    """Nothing at all."""
    return np.random.default_rng(1).standard_normal((len(sentences), 6))


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(60, 2, splits=("train", "train", "dev", "test", "test"), longest=240)


@pytest.fixture(scope="module")
def stores(study: TinyStudy) -> dict[str, Planted]:
    """`reasoning` holds the next action at layer 1, and `base` nothing."""
    return {
        "reasoning": Planted(study.sentences, next_action),
        "base": Planted(study.sentences, noise),
    }


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return make_model(tmp_path_factory.mktemp("model"), scale=20.0)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def work_in(project: Path) -> SideBySide:
    """Jobs one after the other, their units in a folder."""
    return SideBySide(Units(project, ("backtracking",)), 1)


@pytest.fixture(scope="module")
def result(
    study: TinyStudy, stores: dict[str, Planted], loaded: LoadedModel, project: Path
) -> Tables:
    """All results."""
    work = work_in(project)
    return run(Params(**PLAN), Bootstrap(100, 0.95, 0), study.corpus, stores, loaded, words(), work)


def rungs_of(result: Tables) -> dict[str, Compared]:
    return {row.model: row.score for row in result.rows(Rung)}


def models_of(result: Tables) -> dict[tuple[str, str], Compared]:
    return {(row.role, row.class_): row.score for row in result.rows(StateModel)}


def test_the_layer_is_the_one_that_dev_is_predicted_best_from(result: Tables) -> None:
    selection = result.record(Selection)
    assert selection is not None and selection.layer == 1
    scores = {row.layer: row.dev_nll for row in selection.grid}
    assert scores[1] < scores[0]


def test_what_is_planted_at_sentence_ends_says_nothing_at_first_tokens(result: Tables) -> None:
    rungs = rungs_of(result)
    assert set(rungs) == {"labels", "tokens", "tokens_reasoning", "tokens_base"}
    assert known(rungs["labels"].difference).low > 0
    for role in ("reasoning", "base"):
        assert known(rungs[f"tokens_{role}"].difference).high > 0


def test_the_policys_own_law_is_the_floor_on_the_policys_traces(result: Tables) -> None:
    nll = {name: known(score.nll).value for name, score in models_of(result).items()}
    law = nll.pop(("writer", "law"))
    assert 0.3 < law < min(nll.values())
    assert nll["reasoning", "next_token"] > nll["labels", "markov_1"]  # it has learnt nothing


def test_every_model_stands_on_the_same_test_sentences(result: Tables) -> None:
    scores = models_of(result)
    assert set(scores) == {
        *(("labels", name) for name in ("iid", "markov_1", "markov_2", "markov_3", "semi_markov")),
        ("reasoning", "hmm"), ("reasoning", "slds"), ("base", "hmm"), ("base", "slds"),
        ("reasoning", "next_token"), ("writer", "law"),
    }  # fmt: skip
    assert len({score.nll.n for score in scores.values()}) == 1
    assert scores["labels", "markov_1"].difference.value == 0
    assert known(scores["labels", "iid"].difference).low > 0
    assert known(scores["labels", "markov_2"].difference).high < 0


def test_every_choice_from_a_grid_says_where_in_it_it_lies(result: Tables) -> None:
    """Of what dev chooses in the section `transitions`; smoothing has no grid."""
    selection = result.record(Selection)
    assert selection is not None
    for row in result.rows(StateModel):
        chosen = selection.models.get(f"{row.role}/{row.class_}")
        assert row.n_states == (chosen.n_states if chosen else None)
        edges = {None: None, 2: "only", 6: "smallest", 8: "largest"}
        assert row.edge == edges[row.n_states]
    for rung in result.rows(Rung):
        assert rung.edge == {1e-1: "largest", 1e-2: "inside", 1e-3: "smallest"}[rung.ridge]
    strengths = [one for row in selection.models.values() for one in row.strengths or ()]
    assert len(strengths) == 1 + 2 + 3 + 2 + 1


def test_numbers_do_not_change_with_the_last_bits_of_the_activations(
    result: Tables,
    study: TinyStudy,
    stores: dict[str, Planted],
    loaded: LoadedModel,
    tmp_path: Path,
) -> None:
    """As another machine, or another number of threads, would give them: relative noise of 1e-7."""
    moved = {role: Shaken(store) for role, store in stores.items()}
    work = work_in(tmp_path)
    given = (Params(**PLAN), Bootstrap(100, 0.95, 0), study.corpus, moved, loaded, words(), work)
    other = run(*given)
    for table in TABLES:
        assert_same(other.rows(table), result.rows(table))


class Shaken(ActivationStore):
    """A store whose values are off in their last bits."""

    def __init__(self, store: Planted) -> None:
        self.store, self.manifest = store, store.manifest

    def has(self, trace: np.ndarray, position: np.ndarray) -> np.ndarray:
        """As in the store."""
        return self.store.has(trace, position)

    def gather(self, layer: int, trace: np.ndarray, position: np.ndarray) -> torch.Tensor:
        """The store's values, each times 1 +- 1e-7."""
        values = self.store.gather(layer, trace, position)
        noise = np.random.default_rng(7).standard_normal(values.shape)
        return values * (1 + 1e-7 * torch.from_numpy(noise))


def assert_same(found: Any, expected: Any) -> None:
    """Equal in all that is written, but for a last decimal that stood on the edge of a rounding."""
    if isinstance(found, float):
        assert found == pytest.approx(expected, abs=1.01e-4)
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif is_dataclass(found):
        for one in fields(found):
            assert_same(getattr(found, one.name), getattr(expected, one.name))
    else:
        assert found == expected


def test_results_are_read_as_they_were_written(result: Tables, tmp_path: Path) -> None:
    write(result, tmp_path / "transitions")
    read = Tables(tmp_path)
    for table in TABLES:
        assert read.rows(table) == result.rows(table)
        assert read.rows(table) or table is VarianceShare  # six dimensions have no 40 components
    assert read.record(Selection) == result.record(Selection)


def test_a_second_run_fits_nothing_and_one_that_lost_a_unit_fits_that_one(
    result: Tables,
    study: TinyStudy,
    stores: dict[str, Planted],
    loaded: LoadedModel,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted: list[int] = []
    fit = registry.em.fit
    monkeypatch.setattr(
        registry.em, "fit", lambda train, n, how: fitted.append(n) or fit(train, n, how)
    )
    given = (Params(**PLAN), Bootstrap(100, 0.95, 0), study.corpus, stores, loaded, words())
    assert run(*given, work_in(project)) == result
    assert fitted == []
    units = project / ".cache" / "store" / "results" / "transitions"
    for unit in units.iterdir():
        kept_bytes = unit.read_bytes()
        if b"Hmm" in kept_bytes:
            unit.unlink()
            break
    assert run(*given, work_in(project)) == result
    assert len(fitted) == 1


def test_without_truth_words_or_states_their_rows_are_absent(
    result: Tables,
    study: TinyStudy,
    stores: dict[str, Planted],
    loaded: LoadedModel,
    project: Path,
) -> None:
    """As the domain `mute` has it, at the same labels."""
    nothing = np.full(len(study.sentences), None, dtype=object)
    blank = dict.fromkeys(("form", "kind", "search_state", "history"), nothing)
    mute = replace(study.sentences, known_kinds=(), **blank)
    found = run(
        Params(**PLAN), Bootstrap(100, 0.95, 0), make_corpus(study.traces, mute, None),
        stores, loaded, replace(words(), openings=()), work_in(project),
    )  # fmt: skip
    assert found.rows(Rung) == result.rows(Rung) and found.rows(Representation) == []
    known_more = {("writer", "law"), ("reasoning", "next_token")}
    assert {*models_of(result)} - {*models_of(found)} == known_more
    kept = [row for row in result.rows(StateModel) if (row.role, row.class_) not in known_more]
    assert found.rows(StateModel) == kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridges": (1e-3, 1e-2)}, "`ridges` must"),
        ({"hmm_states": (1,)}, "hidden states 2 or more"),
        ({"max_rounds": 0}, "counts must be 1 or more"),
        ({"tolerance": 0.0}, "`tolerance`"),
        ({"n_processes": 0}, "n_processes 0"),
    ],
)
def test_plans_that_cannot_be_carried_out_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Params(**(PLAN | change))
