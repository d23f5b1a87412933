"""The stage on the policy's own traces, with activations that hold what was planted in them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from worlds import Planted, policy_traces, random_model, words

from backtracking.models.loading import LoadedModel
from backtracking.records.columns import Sentences
from backtracking.stages.transitions import Params, SideBySide, run
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import classes
from backtracking.transitions.corpus import make_corpus
from lifeboat.stage import artifacts
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
def study() -> SimpleNamespace:
    return policy_traces(60)


@pytest.fixture(scope="module")
def stores(study: SimpleNamespace) -> dict[str, Planted]:
    """`reasoning` holds the next action at layer 1, and `base` nothing."""
    return {
        "reasoning": Planted(study.sentences, next_action),
        "base": Planted(study.sentences, noise),
    }


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return random_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def work_in(project: Path) -> SideBySide:
    """Jobs one after the other, their units in a folder."""
    return SideBySide(Units(project, ("backtracking",)), 1)


@pytest.fixture(scope="module")
def result(
    study: SimpleNamespace, stores: dict[str, Planted], loaded: LoadedModel, project: Path
) -> dict[str, Any]:
    """All results."""
    work = work_in(project)
    return run(Params(**PLAN), Bootstrap(100, 0.95, 0), study.corpus, stores, loaded, words(), work)


def rungs_at(result: dict[str, Any], position: str) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in result["ladder"][position]["rungs"]}


def test_the_layer_is_the_one_that_dev_is_predicted_best_from(result: dict[str, Any]) -> None:
    selection = result["selection"]
    assert selection["layer"] == 1
    scores = {row["layer"]: row["dev_nll"] for row in selection["grid"]}
    assert scores[1] < scores[0]


def test_what_is_planted_goes_beyond_tokens_and_noise_does_not(result: dict[str, Any]) -> None:
    at_end = rungs_at(result, "end")
    assert at_end["tokens_reasoning"]["difference_high"] < 0
    assert at_end["tokens_base"]["difference_high"] > 0
    assert result["ladder"]["end"]["difference_to_controls"]["base"]["high"] < 0
    # Planted at sentence ends only: nothing is known of it at first tokens. The token before t* may
    # be the end of the sentence before, so nothing is said of it here.
    assert rungs_at(result, "first")["tokens_reasoning"]["difference_high"] > 0


def test_the_policys_own_law_is_the_floor_on_the_policys_traces(result: dict[str, Any]) -> None:
    rows = rungs_at(result, "end")
    assert rows["posterior"]["nll"] < rows["tokens"]["nll"] < rows["labels"]["nll"]
    assert rows["next_token"]["nll"] > rows["labels"]["nll"]
    rate = result["order"]["entropy_rate"]
    assert rows["posterior"]["nll"] == pytest.approx(rate["at_least"]["value"], abs=0.05)
    assert 0.3 < rate["at_least"]["low"] < rate["at_most"]["high"]


def test_every_model_stands_on_the_same_test_sentences(result: dict[str, Any]) -> None:
    rows = {(row["role"], row["class"]): row for row in result["models"]}
    assert set(rows) == {
        *(("labels", name) for name in ("iid", "markov_1", "markov_2", "markov_3", "semi_markov")),
        ("reasoning", "hmm"), ("reasoning", "slds"), ("base", "hmm"), ("base", "slds"),
    }  # fmt: skip
    assert len({row["n"] for row in rows.values()}) == 1
    assert rows["labels", "markov_1"]["difference_value"] == 0
    assert (
        rows["labels", "iid"]["difference_low"] > 0 > rows["labels", "markov_2"]["difference_high"]
    )


def test_dwells_of_the_policy_are_not_geometric_and_noise_hides_it(
    result: dict[str, Any],
) -> None:
    dwell = {row["label"]: row for row in result["dwell"]}
    assert dwell["backtracking"]["p"] == 0.05
    # The law has mean 2.05 and deviation 0.58; four standard errors of about 120 runs.
    assert dwell["backtracking"]["mean_dwell"]["value"] == pytest.approx(2.05, abs=0.21)
    exact, *heard = result["noise"]
    assert exact["realised"] == pytest.approx(1.0)
    for row in heard:
        assert row["realised"] == pytest.approx(0.5, abs=0.06)
        assert row["entropy_rate_bound"]["low"] > exact["entropy_rate_bound"]["high"]
        assert (
            row["gains"]["markov_1_over_iid"]["high"] < exact["gains"]["markov_1_over_iid"]["low"]
        )
        assert row["mean_dwell"]["high"] < exact["mean_dwell"]["low"]


def test_results_have_a_file_each_and_hold_no_nan(result: dict[str, Any], tmp_path: Path) -> None:
    assert set(result) == {
        "models", "densities", "ladder", "matrix", "dwell", "order", "noise", "latents",
        "representation", "selection",
    }  # fmt: skip
    for name, value in result.items():
        artifacts.write_json(tmp_path / f"{name}.json", value)
    ends = [row["from"] for row in result["matrix"]["entries"] if row["to"] == "END"]
    assert "final-answer" in ends
    assert {row["truth"] for row in result["latents"]} == {"label", "form", "kind"}


def test_a_second_run_fits_nothing_and_one_that_lost_a_unit_fits_that_one(
    result: dict[str, Any],
    study: SimpleNamespace,
    stores: dict[str, Planted],
    loaded: LoadedModel,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted: list[int] = []
    fit = classes.em.fit
    monkeypatch.setattr(
        classes.em, "fit", lambda train, n, how: fitted.append(n) or fit(train, n, how)
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
    result: dict[str, Any],
    study: SimpleNamespace,
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
    assert set(found["ladder"]) == {"first", "end"}
    assert {*rungs_at(result, "end")} - {*rungs_at(found, "end")} == {"posterior", "next_token"}
    assert found["representation"] == []
    assert {row["truth"] for row in found["latents"]} == {"label"}
    assert found["order"]["entropy_rate"]["at_least"] is None
    at_most = found["order"]["entropy_rate"]["at_most"]
    assert at_most == result["order"]["entropy_rate"]["at_most"]
    assert found["selection"]["error_share"] is None
    assert {key: found[key] for key in ("models", "matrix", "dwell", "noise")} == {
        key: result[key] for key in ("models", "matrix", "dwell", "noise")
    }


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
