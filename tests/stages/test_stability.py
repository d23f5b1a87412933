"""The stage on traces that the policy itself wrote, with a model that has learnt nothing."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from backtracking import PROJECT_ROOT, models, params
from backtracking.models import LoadedModel
from backtracking.moments import read_moments
from backtracking.organism.policy import Policy, Writer
from backtracking.organism.tokenizer import build_tokenizer
from backtracking.organism.training import Architecture, build_model
from backtracking.organism.world import World, make_problem, read_prompt
from backtracking.stages import label
from backtracking.stages.stability import Params, run
from backtracking.statistics import Bootstrap
from backtracking.traces import Problem, Trace

FILE = PROJECT_ROOT / "params.yaml"
PARAMS = Params(True, 2, 12, 0.5, 64, 0, 1, "cpu")
BOOTSTRAP = Bootstrap(50, 0.95, 0)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer()
    build_model(Architecture(1, 16, 2, 32, 400), tokenizer, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return models.load(folder)


@pytest.fixture(scope="module")
def written(loaded: LoadedModel) -> tuple[list[Trace], list[Problem]]:
    """Traces of 12 problems, the last one of which is a test problem."""
    world, policy = params.load(World, "world", FILE), params.load(Policy, "policy", FILE)
    random, ids = Random(0), loaded.tokenizer.get_vocab()
    traces, problems = [], []
    for number in range(12):
        split = "test" if number == 11 else "train"
        problem = make_problem(*world.draw(random), "study", split)
        sentences = Writer(*read_prompt(problem.prompt), policy, random).write()
        words = [word for sentence in sentences for word in sentence]
        trace = Trace(
            f"{problem.problem_id}/0", problem.problem_id, split, 0,
            loaded.tokenizer(problem.prompt).input_ids,
            [ids[word] for word in (*words, "</s>")], " ".join(words), "stop",
            {"seed": 0, "temperature": 1.0, "max_new_tokens": 370},
        )  # fmt: skip
        traces.append(trace)
        problems.append(problem)
    return traces, problems


def test_every_event_of_the_train_problems_is_regenerated(
    loaded: LoadedModel, written: tuple[list[Trace], list[Problem]]
) -> None:
    traces, problems = written
    policy = params.load(Policy, "policy", FILE)
    tokenizer: Any = getattr(loaded.tokenizer, "backend_tokenizer")  # noqa: B009
    labelled = label.run(label.Params("backtracking"), policy, traces, problems, tokenizer)
    moments = read_moments(traces, labelled.sentences)
    found = run(PARAMS, BOOTSTRAP, loaded, traces, moments)
    chosen = (moments.split == "train") & (moments.form == "compare") & (moments.kind != "solved")
    turned = {
        (traces[moments.trace[row]].trace_id, int(moments.end[row]) - 1): moments.action[row]
        for row in chosen.nonzero()[0]
        if moments.action[row] in ("backtracks", "idles")
    }
    assert {(event.trace_id, event.position) for event in found.events} == set(turned)
    assert len(turned) > 10
    for event in found.events:
        assert event.is_backtracking == (turned[event.trace_id, event.position] == "backtracks")
        assert event.n in (0, 2) and event.n_backtracking <= event.n
    assert found.metrics["n_events"] == len(turned)
    assert run(PARAMS, BOOTSTRAP, loaded, traces, moments) == found
    off = run(Params(False, 2, 12, 0.5, 64, 0, 1, "cpu"), BOOTSTRAP, loaded, traces, moments)
    assert off.events == [] and off.metrics["measures"] == []


@pytest.mark.parametrize(("n", "threshold"), [(0, 0.5), (2, 0.0), (2, 1.5)])
def test_settings_that_weigh_nothing_are_refused(n: int, threshold: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Params(True, n, 12, threshold, 64, 0, 1, "cpu")
