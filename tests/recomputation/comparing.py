"""A number of a study beside the same number recomputed."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Compared:
    """A printed number beside the same recomputed.

    Attributes:
        name: what it is.
        printed: in the study's results; None where it is undefined.
        recomputed: by other code; NaN where it is undefined.
        tolerance: how far apart rounding, and chance where numbers are drawn, may bring them.
    """

    name: str
    printed: float | None
    recomputed: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether both are the same within the tolerance, or both undefined."""
        if self.printed is None:
            return math.isnan(self.recomputed)
        return abs(self.printed - self.recomputed) <= self.tolerance

    @property
    def line(self) -> str:
        """A row of a table: printed, recomputed, their difference, and how much is allowed."""
        printed = math.nan if self.printed is None else self.printed
        numbers = f"{printed:12.6f}{self.recomputed:12.6f}{self.recomputed - printed:+12.1e}"
        return f"{self.name:34}{numbers}{self.tolerance:9.0e}{'' if self.agrees else '  differs'}"
