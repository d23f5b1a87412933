import pytest
from synthetic_results import study_with

from backtracking.effects.seen import NO_INTERVAL
from backtracking.records.intervals import Interval
from backtracking.records.measured import RANDOM
from backtracking.records.rows.arms import ArmKey, Forced
from backtracking.records.rows.probe import Choice, ProbeSelection
from backtracking.report.tables import decoding_table, dose_table, flatten, loss_table
from backtracking.stages.summary import Params


def row(direction: str, dose: float, value: float, target: str = "reasoning") -> Forced:
    """P(backtrack) at live decisions."""
    group = RANDOM if direction.startswith("random") else ""
    arm = ArmKey(target, direction, dose, "decision", "add" if dose else "none", group)
    return Forced(arm, "alive", "P_open", Interval(value, None, None, 9), NO_INTERVAL, 9)


def test_loss_table_averages_whole_stretches_and_leaves_shorter_runs_empty() -> None:
    rows, columns = loss_table({"base": [4.0, 2.0, 1.0, 1.0], "reasoning": [3.0, 1.0]}, 2)
    assert columns == ["step", "base", "reasoning"]
    assert rows == [{"step": 2, "base": 3.0, "reasoning": 2.0}, {"step": 4, "base": 1.0}]


def test_dose_table_has_the_baseline_at_zero_in_every_column_and_the_mean_of_random() -> None:
    forced = [
        row("baseline", 0.0, 0.1), row("reasoning", 1.0, 0.6), row("base", 1.0, 0.3),
        row("action", 1.0, 0.5), row("random_0", 1.0, 0.1), row("random_1", 1.0, 0.2),
        row("base", 1.0, 0.9, target="base"),
    ]  # fmt: skip
    rows, _ = dose_table(study_with(*forced))
    assert rows[0] == {"dose": 0.0, "own": 0.1, "base": 0.1, "action": 0.1, "random": 0.1}
    assert rows[1] == pytest.approx(
        {"dose": 1.0, "own": 0.6, "base": 0.3, "action": 0.5, "random": 0.15}
    )


def test_decoding_is_of_the_best_layer_at_each_offset_and_of_the_pair_alone() -> None:
    def cell(role: str, target: str, layer: int, offset: int, auroc: float | None) -> Choice:
        return Choice(role, target, layer, offset, "words", None, None, auroc)

    cells = (
        cell("base", "backtracks", 0, 0, 0.6), cell("base", "backtracks", 1, 0, 0.7),
        cell("reasoning", "backtracks", 0, 0, 0.8), cell("reasoning", "backtracks", 1, 0, None),
        cell("shuffled", "backtracks", 0, 0, 0.9), cell("base", "over", 0, 0, 0.9),
        cell("base", "backtracks", 0, -3, 0.5),
    )  # fmt: skip
    rows, columns = decoding_table(study_with(ProbeSelection("dev", cells, cells)))
    assert columns == ["offset", "own", "base"]
    assert rows == [{"offset": -3, "base": 0.5}, {"offset": 0, "own": 0.8, "base": 0.7}]
    assert decoding_table(study_with())[0] == []


def test_nested_objects_are_columns_named_by_both_but_for_what_is_by_something() -> None:
    row = {"a": {"low": 1, "n": {"b": 2}}, "by_kind": {"over": {"p": 3}}, "names": ["x", "y"]}
    assert flatten(row) == {"a_low": 1, "a_n_b": 2, "over_p": 3, "names": "x y"}


def test_digits_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="digits must be from 1 to 12"):
        Params(digits=0, loss_every=20)
