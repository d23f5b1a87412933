"""The sentences on drawn sentences: absent without any, and an arm that says the word is named."""

from backtracking.records.intervals import Interval
from backtracking.records.rows.arms import ArmKey
from backtracking.records.rows.drawn import Calibration, Frozen
from backtracking.report.draws import summarize_draws, tell_draws


def line(direction: str, dose: float, slope: float) -> Calibration:
    def near(value: float) -> Interval:
        return Interval(value, value - 0.1, value + 0.1, 9)

    arm = ArmKey("reasoning", direction, dose, "decision", "set_projection")
    return Calibration("affine", arm, 50, near(slope), near(0.6), 0.9, near(slope / 0.8))


def frozen(coverage: float) -> Frozen:
    every = Interval(coverage, None, None, 9)
    return Frozen("reasoning", "rules", 9, 90, 30, (), ("wait",), coverage, every, coverage >= 0.7)


def test_nothing_is_said_where_nothing_was_drawn() -> None:
    assert summarize_draws([], None, "reasoning", "base") == {} and tell_draws({}) == ""


def test_slopes_are_told_and_half_of_the_baselines_is_named() -> None:
    lines = [line("baseline", 0.0, 0.8), line("base", 1.0, 0.2), line("base", -1.0, 0.7)]
    found = summarize_draws(lines, frozen(0.5), "reasoning", "base")
    assert found["steer_calibration_slope_base"] == 0.2
    said = tell_draws(found)
    assert "learnt to say the word" in said and "too little" in said
    good = [line("baseline", 0.0, 0.8), line("base", 1.0, 0.7)]
    said = tell_draws(summarize_draws(good, frozen(0.9), "reasoning", "base"))
    assert "learnt" not in said and "too little" not in said and "0.8" in said
