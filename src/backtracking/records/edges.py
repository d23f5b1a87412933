"""Whether a choice lies on the edge of the grid that it was made from."""

from collections.abc import Sequence
from typing import Literal

Edge = Literal["inside", "smallest", "largest", "only"]
"""Where in its grid a choice lies; `only` where there was nothing to choose from.

A choice on an edge says that something beyond the grid may have been better.
"""


def edge_of(chosen: float | int, grid: Sequence[float | int]) -> Edge:
    """Where a choice lies in its grid.

    Raises:
        ValueError: where the grid does not hold it.
    """
    if chosen not in grid:
        raise ValueError(f"Expected one of {sorted(grid)}, found {chosen}.")
    if len({*grid}) == 1:
        return "only"
    ends: dict[float | int, Edge] = {min(grid): "smallest", max(grid): "largest"}
    return ends.get(chosen, "inside")
