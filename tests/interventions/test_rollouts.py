"""At how many tokens a vector was added, against what the ids say."""

import pytest
import torch

from backtracking.interventions.plan import Push
from backtracking.interventions.rollouts import require_steered
from backtracking.models.forced import Arm
from backtracking.models.generation import Generation
from backtracking.records import measured
from lifeboat.stage.errors import UserError

STOP = 4
PUSH = Push(measured.Arm("own", "matched", 1.0), Arm(torch.ones(3)))
NONE = Push(measured.baseline(), Arm(torch.zeros(3)))


def is_decision(ids: list[int]) -> bool:
    return ids[-1] == STOP


def test_the_last_token_is_read_by_nobody_and_zeros_are_never_added() -> None:
    written = Generation([7, STOP, 8, STOP], "stop", 2)
    require_steered(PUSH, "p", [STOP, 6], written, is_decision)
    require_steered(NONE, "p", [STOP, 6], Generation([STOP, 7], "stop", 0), is_decision)


@pytest.mark.parametrize("n", [1, 3])
def test_another_number_stops_the_run_and_says_which(n: int) -> None:
    written = Generation([7, STOP, 8, STOP], "stop", n)
    with pytest.raises(UserError, match=rf"`own` at dose \+1 .* at 2 tokens of `p`, found {n}"):
        require_steered(PUSH, "p", [STOP, 6], written, is_decision)
