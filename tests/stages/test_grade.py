from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from counted_units import Counted
from tiny_study import PAIR, TinyStudy, make_models, write_study, write_workspace

from backtracking.domains.organism import evaluation
from backtracking.records import reader
from backtracking.records.grades import Observation, read_grades
from backtracking.records.rows.measures import Tally
from backtracking.records.sentences import EXACT
from backtracking.records.traces import Trace
from backtracking.stages import grade
from backtracking.stages.grade import Graded, Grader, Params, tally


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    """Traces of the policy itself."""
    return write_study(120)


def graded(study: TinyStudy, traces: list[Trace], primary: str = EXACT) -> Graded:
    """Grades of traces of a study's problems."""
    return Grader(study.domain, study.problems, study.tokenizer, primary).grade(traces, "s")


def values_of(found: Graded) -> dict[str, list[bool]]:
    """What was seen by measure."""
    names = {one.measure.removeprefix("s_") for one in found.seen}
    return {name: [o.value for o in found.seen if o.measure == f"s_{name}"] for name in names}


def said(study: TinyStudy, text: str, reason: str = "stop") -> Trace:
    """The first trace with other words."""
    ids = study.tokenizer.get_vocab()
    return replace(
        study.traces[0], token_ids=[ids[word] for word in text.split()], finish_reason=reason
    )


def test_traces_of_the_policy_are_valid_parse_and_are_solved(study: TinyStudy) -> None:
    values = values_of(graded(study, study.traces))
    assert all(values["valid_sentence_rate"]) and all(values["parsed_trace_rate"])
    assert not any(values["wrong_value_rate"])
    assert np.mean(values["solve_rate"]) > 0.95


def test_rates_of_the_cells_are_those_that_were_taught(study: TinyStudy) -> None:
    values = values_of(graded(study, study.traces))
    taught = study.domain.taught_rates
    group = {"over": "dead", "exhausted": "dead", "doomed": "live", "alive": "live"}
    for name, cell in (group | {"dead": "dead", "live": "live"}).items():
        for act in ("turn", "idle"):
            rate = float(np.mean(values[f"{act}_rate_{name}"]))
            assert abs(rate - taught[f"policy_{act}_rate_{cell}"]) < 0.08
    cells = [name for name in values if name.startswith(("share_dead", "share_live"))]
    assert len(cells) == 4 and "share_doomed" in values
    assert sum(float(np.mean(values[name])) for name in cells) == pytest.approx(1)


def test_a_wrong_sum_is_one_invalid_sentence_and_the_truth_stays(study: TinyStudy) -> None:
    numbers = study.traces[0].problem_id.split("-to-")[0].split("-")
    first, *others = numbers
    left = " ".join(others)
    wrong = int(first) + 1
    trace = said(
        study,
        f"Start at 0 . Try {first} on 0 . Left {left} . Total {wrong} . "
        f"Compare {wrong} with {wrong} . Found {wrong} . </s>",
    )
    values = values_of(graded(study, [trace]))
    assert values["valid_sum_rate"] == [False]
    assert values["wrong_value_rate"] == [True]
    assert values["solve_rate"] == [False]
    assert values["parsed_trace_rate"] == [True]
    assert values["valid_number_rate"] == [True]


def test_an_unfinished_trace_has_no_parse_rate_and_is_not_solved(study: TinyStudy) -> None:
    values = values_of(graded(study, [said(study, "Start at 0 . Try 3", "length")]))
    assert "parsed_trace_rate" not in values
    assert values["valid_parse_rate"] == [False] and values["solve_rate"] == [False]


def test_a_pool_that_is_held_out_is_measured_apart(study: TinyStudy) -> None:
    held = [replace(one, pool="held-out-size") for one in study.problems]
    found = Grader(study.domain, held, study.tokenizer, EXACT).grade(study.traces[:2], "s")
    assert all(one.measure.startswith("held_out_size_s_") for one in found.seen)


def test_what_was_seen_is_counted_by_measure_and_problem() -> None:
    seen = [Observation(name, f"p{n % 2}", n < 3) for name in ("y", "x") for n in range(5)]
    counts = [("x", "p0", 3, 2), ("x", "p1", 2, 1), ("y", "p0", 3, 2), ("y", "p1", 2, 1)]
    assert tally(seen) == [Tally(*one) for one in counts]


def test_the_stage_writes_tallies_and_a_grade_for_each_trace(tmp_path: Path) -> None:
    study = write_study(9)
    workspace = write_workspace(tmp_path, study, PAIR)
    grade.main(["--root", str(tmp_path)])
    folder = workspace.results("grade")
    tallies = reader.read_lines(Tally, folder / "tallies.jsonl")
    names = {one.measure for one in tallies}
    assert {"sampled_solve_rate", "greedy_valid_sentence_rate", "base_report_accuracy"} <= names
    for name in ("sampled", "greedy"):
        grades = read_grades(folder / f"{name}.jsonl")
        assert [one.trace_id for one in grades] == [one.trace_id for one in study.traces]
        solved = [one.outcome == "right" for one in grades]
        its = [one for one in tallies if one.measure == f"{name}_solve_rate"]
        assert sum(one.n for one in its) == len(solved)
        assert sum(one.n_true for one in its) == sum(solved)


def test_what_the_base_is_asked_is_kept_and_a_kill_costs_one_part(
    study: TinyStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "WALKS_PER_PART", 5)
    base = make_models(tmp_path, ("base",))["base"]
    ask = partial(grade.ask, Params(18, 1, 1, "cpu"), study.domain, base)
    killed, resumed, again = Counted(tmp_path, killed_at=2), Counted(tmp_path), Counted(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        ask(killed)
    found = ask(resumed)
    assert (killed.n_made, resumed.n_made) == (2, 2)
    assert ask(again) == found and again.n_made == 0
    assert sum(one.measure == "base_report_accuracy" for one in found) == 18
    monkeypatch.setattr(evaluation, "WALKS_PER_PART", 18)
    assert ask(Counted(tmp_path)) == found


def test_no_questions_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="n_questions"):
        Params(0, 1, 1, "cpu")
