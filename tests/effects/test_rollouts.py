"""Free runs: what is planted in the text is measured, and arms share their random numbers."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.policy import Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem, read_prompt
from backtracking.interventions import rollouts
from backtracking.interventions.rollouts import MEASURES, Rollout, roll_out
from backtracking.models import loading
from backtracking.models.generation import Generation
from backtracking.models.loading import LoadedModel
from backtracking.models.training import Architecture, build_model
from backtracking.records.traces import Problem
from backtracking.runtime import params
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(50, 0.95, 0)
ZERO = torch.zeros(16)
PARAMS = PROJECT_ROOT / "params.yaml"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer()
    build_model(Architecture(2, 16, 2, 32, 96), tokenizer, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return loading.load(folder)


def draw_problems(n: int) -> list[Problem]:
    world, random = params.load(World, "world", PARAMS), Random(0)
    return [make_problem(*world.draw(random), "study", "test") for _ in range(n)]


def plant(
    monkeypatch: pytest.MonkeyPatch, texts: list[tuple[str, Any]], loaded: LoadedModel
) -> list[dict[str, dict[str, Any]]]:
    """What `roll_out` measures where the model is said to have written these texts."""
    vocabulary = loaded.tokenizer.get_vocab()
    written = [
        Generation([vocabulary[word] for word in text.split()], reason) for text, reason in texts
    ]
    monkeypatch.setattr(rollouts, "generate", lambda *_, **__: written)
    problems = PLANTED[: len(texts)]
    arms = roll_out(loaded, Rollout(1, 0, 20), problems, [ZERO], BOOTSTRAP)
    return [{row["measure"]: row for row in rows} for rows in arms]


PLANTED = [make_problem((7, 8, 9, 12, 3), 28, "study", "test")] + draw_problems(40)
OVER = (
    "Start at 0 . Try 12 on 0 . Left 7 8 9 3 . Total 12 . Compare 12 with 28 . "
    "Try 9 on 12 . Left 7 8 3 . Total 21 . Compare 21 with 28 . "
    "Try 8 on 21 . Left 7 3 . Total 29 . Compare 29 with 28 . "
)


def test_traces_of_the_policy_are_solved_valid_and_act_at_its_rates(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    policy, random = params.load(Policy, "policy", PARAMS), Random(1)
    texts = []
    for problem in PLANTED:
        sentences = Writer(*read_prompt(problem.prompt), policy, random).write()
        words = " ".join(word for sentence in sentences for word in sentence)
        texts.append((f"{words} </s>", "stop"))
    (found,) = plant(monkeypatch, texts, loaded)
    assert set(found) == set(MEASURES)
    assert found["solve_rate"]["value"] == found["conditional_validity"]["value"] == 1
    assert found["empty_rate"]["value"] == found["truncated_rate"]["value"] == 0
    assert found["n_tokens"]["value"] == sum(len(t.split()) for t, _ in texts) / len(texts)
    for kind, rate in (("over", 0.6), ("exhausted", 0.6), ("doomed", 0.125), ("alive", 0.125)):
        assert found[f"p_act_{kind}"]["value"] == pytest.approx(rate, abs=0.15)
    assert found["solve_rate"]["n"] == len(PLANTED)


def test_one_trace_is_counted_sentence_by_sentence(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    text = OVER + "Wait , 28 is too big . Undo 8 on 21 . </s>"
    (found,) = plant(monkeypatch, [(text, "stop")], loaded)
    assert found["p_act_over"]["value"] == 1 and found["p_act_alive"]["value"] == 0
    assert found["solve_rate"]["value"] == 0
    assert found["backtracking_rate"]["value"] == pytest.approx(2 / 15)
    assert found["conditional_validity"]["value"] == pytest.approx(13 / 14)
    assert found["state_deduction"]["value"] == pytest.approx(6 / 15)
    assert found["state_uncertainty-estimation"]["value"] == found["state_unparsed"]["value"] == 0
    states = sum(row["value"] for name, row in found.items() if name.startswith("state_"))
    assert states + found["backtracking_rate"]["value"] == pytest.approx(1)
    assert found["nll"]["value"] > 0 and found["repeated_rate"]["value"] == 0
    assert "p_act_doomed" not in found and "p_act_exhausted" not in found


def test_empty_and_truncated_runs_are_counted_and_not_scored_as_0(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    texts = [(OVER + "Wait ,", "length"), ("</s>", "empty"), ("Wait Wait Wait </s>", "stop")]
    (found,) = plant(monkeypatch, texts, loaded)
    assert found["empty_rate"]["value"] == found["truncated_rate"]["value"] == pytest.approx(1 / 3)
    assert found["solve_rate"]["value"] == 0 and found["solve_rate"]["n"] == 3
    assert found["keyword_rate"]["n"] == 1
    assert found["p_act_over"]["n"] == 1


def test_arms_of_the_same_vector_write_the_same_and_another_writes_otherwise(
    loaded: LoadedModel,
) -> None:
    problems = draw_problems(3)
    vectors = [ZERO, torch.full((16,), 30.0), ZERO]
    first, other, again = roll_out(loaded, Rollout(1, 5, 40), problems, vectors, BOOTSTRAP)
    assert first == again
    assert {row["measure"] for row in first} >= {"solve_rate", "n_tokens"}
    assert len(first) > 0 and len(other) > 0


def test_effects_are_differences_to_the_first_arm_paired_by_problem(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    vocabulary = loaded.tokenizer.get_vocab()
    stays, turns = (f"{OVER}{end} </s>" for end in ("Hmm .", "Wait , 28 is too big ."))
    written = [
        Generation([vocabulary[word] for word in text.split()], "stop")
        for text in (stays, stays, turns, turns)
    ]
    monkeypatch.setattr(rollouts, "generate", lambda *_, **__: written)
    rollout = Rollout(1, 0, 20, is_scored=False)
    arms = roll_out(loaded, rollout, PLANTED[:2], [ZERO, ZERO], BOOTSTRAP)
    first, second = ({row["measure"]: row for row in arm} for arm in arms)
    assert {row["effect_value"] for row in first.values()} == {0.0}
    assert second["backtracking_rate"]["effect_value"] == pytest.approx(1 / 14)
    assert second["state_uncertainty-estimation"]["effect_value"] == pytest.approx(-1 / 14)
    assert second["p_act_over"]["effect_value"] > 0
    for name, row in second.items():
        assert row["effect_value"] == pytest.approx(row["value"] - first[name]["value"])
    assert "nll" not in first
