"""The stage on the policy's own traces, with activations that hold what was planted in them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from intervals import known
from tiny_study import Planted, TinyStudy, make_model, words, write_study

from backtracking.models.loading import LoadedModel
from backtracking.records.columns import Sentences
from backtracking.records.rows.table import Tables, first
from backtracking.records.rows.transitions import (
    Compared,
    Cut,
    Dwell,
    EntropyRate,
    Latent,
    Noise,
    Representation,
    Rung,
    Selection,
    StateModel,
    Transition,
)
from backtracking.stages.transitions import TABLES, Params, SideBySide, run, write
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import registry
from backtracking.transitions.corpus import make_corpus
from lifeboat.stage.units import Units

PLAN: dict[str, Any] = {
    "rank": 4, "place_states": 6, "hmm_states": (8,),
    "slds_states": (2,), "hmm_iterations": 8, "slds_iterations": 2, "n_starts": 1,
    "ladder_rank": 8, "ridges": (1e-2, 1e-3), "error_shares": (0.001, 0.1), "n_shuffles": 99,
    "n_draws": 19, "kappas": (0.5,), "seed": 0, "n_processes": 1,
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


def rungs_at(result: Tables, position: str) -> dict[str, Compared]:
    return {row.model: row.score for row in result.rows(Rung) if row.position == position}


def test_the_layer_is_the_one_that_dev_is_predicted_best_from(result: Tables) -> None:
    selection = result.record(Selection)
    assert selection is not None and selection.layer == 1
    scores = {row.layer: row.dev_nll for row in selection.grid}
    assert scores[1] < scores[0]


def test_what_is_planted_goes_beyond_tokens_and_noise_does_not(result: Tables) -> None:
    at_end, cut = rungs_at(result, "end"), first(result.rows(Cut), position="end")
    assert known(at_end["tokens_reasoning"].difference).high < 0
    assert known(at_end["tokens_base"].difference).high > 0
    assert cut is not None and known(cut.difference_to_controls["base"]).high < 0
    # Planted at sentence ends only: nothing is known of it at first tokens. The token before t* may
    # be the end of the sentence before, so nothing is said of it here.
    assert known(rungs_at(result, "first")["tokens_reasoning"].difference).high > 0


def test_the_policys_own_law_is_the_floor_on_the_policys_traces(result: Tables) -> None:
    nll = {name: score.nll or 0.0 for name, score in rungs_at(result, "end").items()}
    assert nll["posterior"] < nll["tokens"] < nll["labels"] < nll["next_token"]
    rate = result.record(EntropyRate)
    assert rate is not None
    assert nll["posterior"] == pytest.approx(known(rate.at_least).value, abs=0.05)
    assert 0.3 < known(rate.at_least).low < known(rate.at_most).high


def test_every_model_stands_on_the_same_test_sentences(result: Tables) -> None:
    scores = {(row.role, row.class_): row.score for row in result.rows(StateModel)}
    assert set(scores) == {
        *(("labels", name) for name in ("iid", "markov_1", "markov_2", "markov_3", "semi_markov")),
        ("reasoning", "hmm"), ("reasoning", "slds"), ("base", "hmm"), ("base", "slds"),
    }  # fmt: skip
    assert len({score.n for score in scores.values()}) == 1
    assert scores["labels", "markov_1"].difference.value == 0
    assert known(scores["labels", "iid"].difference).low > 0
    assert known(scores["labels", "markov_2"].difference).high < 0


def test_dwells_of_the_policy_are_not_geometric_and_noise_hides_it(
    result: Tables,
) -> None:
    dwell = first(result.rows(Dwell), label="backtracking")
    assert dwell is not None and dwell.p == 0.05
    # The law has mean 2.05 and deviation 0.58; four standard errors of about 120 runs.
    assert dwell.mean_dwell.value == pytest.approx(2.05, abs=0.21)
    exact, *heard = (row.heard for row in result.rows(Noise))
    assert [row.realised for row in result.rows(Noise)] == pytest.approx([1, 0.5, 0.5], abs=0.06)
    for one in heard:
        assert known(one.entropy_rate_bound).low > known(exact.entropy_rate_bound).high
        gains = one.gains["markov_1_over_iid"], exact.gains["markov_1_over_iid"]
        assert known(gains[0]).high < known(gains[1]).low
        assert known(one.mean_dwell).high < known(exact.mean_dwell).low


def test_results_are_read_as_they_were_written(result: Tables, tmp_path: Path) -> None:
    write(result, tmp_path / "transitions")
    read = Tables(tmp_path)
    for table in TABLES:
        assert read.rows(table) == result.rows(table) != []
    for record in (EntropyRate, Selection):
        assert read.record(record) == result.record(record)
    ends = [row.from_ for row in read.rows(Transition) if row.to == "END"]
    assert "final-answer" in ends
    assert {row.truth for row in read.rows(Latent)} == {"label", "form", "kind"}


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
        Params(**PLAN), Bootstrap(100, 0.95, 0), make_corpus(study.traces, mute, None, None),
        stores, loaded, replace(words(), openings=()), work_in(project),
    )  # fmt: skip
    assert {row.position for row in found.rows(Rung)} == {"first", "end"}
    assert {*rungs_at(result, "end")} - {*rungs_at(found, "end")} == {"posterior", "next_token"}
    assert found.rows(Representation) == []
    assert {row.truth for row in found.rows(Latent)} == {"label"}
    rate, known, selection = (
        found.record(EntropyRate), result.record(EntropyRate), found.record(Selection),
    )  # fmt: skip
    assert rate is not None and known is not None and selection is not None
    assert rate.at_least is None and rate.at_most == known.at_most
    assert selection.error_share is None
    for table in (StateModel, Transition, Dwell, Noise):
        assert found.rows(table) == result.rows(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridges": (1e-3, 1e-2)}, "`ridges` must"),
        ({"kappas": (1.0,)}, "`kappas`"),
        ({"hmm_states": (1,)}, "hidden states 2 or more"),
        ({"n_draws": 0}, "counts must be 1 or more"),
        ({"n_processes": 0}, "n_processes 0"),
    ],
)
def test_plans_that_cannot_be_carried_out_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Params(**(PLAN | change))
