"""A generation is shown from the sentence at which steering made it another one."""

from dataclasses import replace

from effects.test_rollouts import PROBLEMS, read, rollouts

from backtracking.effects.partings import N_PROBLEMS, tabulate_partings
from backtracking.records.measured import Arm
from backtracking.records.places import Place
from backtracking.records.rollouts import Rollouts

START = "Start at 0 . Try 12 on 0 . Left 7 8 9 3 . Total 12 . Compare 12 with 28 . "
GOES_ON = START + "Try 9 on 12 . Left 7 8 3 . </s>"
TURNS = START + "Wait , 12 is too big . Undo 12 on 0 . Left 7 8 9 3 12 . </s>"
PROMPTS = {one.problem_id: one.prompt for one in PROBLEMS}


def arm(name: str, dose: float, group: str = "matched") -> Arm:
    return Arm(name, group, dose, layer=1, place=Place(name, "matched", (0, 0), 1))


def written(texts: list[str], one: Arm | None = None) -> tuple[Rollouts, list]:
    found = replace(rollouts([(text, "stop") for text in texts], arm=one), nll=None)
    return found, [read(trace) for trace in found.traces]


def test_both_generations_are_told_from_where_they_part_at_every_dose() -> None:
    runs = [
        written([GOES_ON]),
        written([TURNS], arm("base", 1.0)),
        written([START + "</s>"], arm("base", -1.0)),
    ]
    down, up = tabulate_partings(runs, PROMPTS)
    assert (down.arm.dose, up.arm.dose) == (-1.0, 1.0)
    assert up.before.startswith("Compare 12 with 28")
    assert up.unsteered.startswith("Try 9")
    assert up.steered.startswith("Wait") and "Undo" in up.steered and "Left" not in up.steered
    assert down.unsteered == up.unsteered and not down.steered.startswith("Try")
    assert up.prompt == PROMPTS[up.problem_id]


def test_only_problems_that_every_dose_changes_are_shown_and_the_first_of_them_by_name() -> None:
    n = 8
    plain, same = [GOES_ON] * n, [TURNS] * (n - 1) + [GOES_ON]
    runs = [
        written(plain),
        written([TURNS] * n, arm("base", 1.0)),
        written(same, arm("base", -1.0)),
    ]
    names = [row.problem_id for row in tabulate_partings(runs, PROMPTS)]
    changed = sorted(one.problem_id for one in PROBLEMS[: n - 1])
    assert list(dict.fromkeys(names)) == changed[:N_PROBLEMS]


def test_random_directions_and_nothing_at_all_show_nothing() -> None:
    runs = [written([GOES_ON]), written([TURNS], arm("random_0", 1.0, "random"))]
    assert tabulate_partings(runs, PROMPTS) == tabulate_partings([], PROMPTS) == []
    unchanged = [written([GOES_ON]), written([GOES_ON], arm("base", 1.0))]
    assert tabulate_partings(unchanged, PROMPTS) == []
