"""A number of a study beside the same number recomputed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Compared:
    """A printed number beside the same recomputed, and how far apart they may be."""

    name: str
    printed: float
    recomputed: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether they are the same within that."""
        return abs(self.printed - self.recomputed) <= self.tolerance
