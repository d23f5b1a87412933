"""Which rows of a study fit a GPU beside the weights that its stages load, before it is rented.

A stage plans by the same sums from the memory that it finds free, and takes so many at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backtracking.models.footprint import ROOMY, Kind
from backtracking.models.published import Shape


@dataclass(frozen=True)
class Rows:
    """What one stage asks for in one call of a model.

    Attributes:
        stage: its name.
        kind: of work.
        asked: items at once, as params.yaml has it.
        n_tokens: of an item, at most.
        shape: of the largest model that works.
        weights: bytes of all models that are loaded meanwhile.
        width: bytes of a number.
    """

    stage: str
    kind: Kind
    asked: int
    n_tokens: int
    shape: Shape
    weights: int
    width: int

    @property
    def n_bytes(self) -> float:
        """That all of it takes."""
        token = self.shape.token(self.width)
        return ROOMY * self.weights + token.n_bytes(self.kind, self.asked * self.n_tokens)

    def at_once(self, memory: float | int) -> int:
        """Items that so many bytes hold, of those that are asked for; 0 where weights are more."""
        free = memory - ROOMY * self.weights
        n_fitting = self.shape.token(self.width).n_tokens(self.kind, free) // self.n_tokens
        return min(self.asked, n_fitting)


def rows_of(
    values: Mapping[str, Any],
    longest: int,
    edit: int,
    shape_by_role: Mapping[str, Shape],
    roles_by_stage: Mapping[str, Sequence[str]],
    width: int,
) -> Iterator[Rows]:
    """What each stage that runs models asks for.

    Args:
        values: the parameters of a study, as params.yaml has them.
        longest: tokens of a trace, its prompt included.
        edit: tokens of an edit, with all that openers begin with.
        shape_by_role: of the models, those with the very weights of another left out.
        roles_by_stage: the models that each stage has loaded side by side; for stages without any
            of a known shape nothing is told.
        width: bytes of a number.
    """
    for stage, kind, asked, n_tokens in _asked(values, longest, edit):
        shapes = [shape_by_role[one] for one in roles_by_stage[stage] if one in shape_by_role]
        if shapes and asked:
            largest = max(shapes, key=lambda one: one.n_parameters)
            weights = width * sum(one.n_parameters for one in shapes)
            yield Rows(stage, kind, asked, n_tokens, largest, weights, width)


def _asked(
    values: Mapping[str, Any], longest: int, edit: int
) -> Iterator[tuple[str, Kind, int, int]]:
    """Stage, kind of work, items at once and tokens of each."""
    traces, stability, steer = values["traces"], values["stability"], values["steer"]
    drawn, ablate, belief = steer["drawn"], values["ablate"], values["belief"]
    yield "traces", "prompts", traces["batch_size"], longest
    yield "extract", "texts", max(1, values["extract"]["tokens_per_batch"] // longest), longest
    if stability["enabled"]:
        yield "stability", "prompts", stability["batch_size"], longest
    yield "steer", "arms", steer["rows_per_batch"], longest
    yield "steer", "edits", steer["edits_per_batch"], edit
    if drawn["n"]:
        yield "steer", "draws", drawn["rows_per_batch"], longest + drawn["max_new_tokens"]
    yield "ablate", "ablated prefixes", ablate["rows_per_batch"], longest
    yield "belief", "tails", belief["rows_per_batch"], longest
