"""Units that tell what a stage makes again after a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lifeboat.stage.units import Units


class Counted(Units):
    """Units that count what they make, and are killed while they make a certain one."""

    def __init__(self, root: Path, killed_at: int | None = None) -> None:
        super().__init__(root, ("backtracking",))
        self.n_made, self.killed_at = 0, killed_at

    def get(self, out: str, key: str, make: Callable[[], Any]) -> Any:
        def counted() -> Any:
            if self.n_made == self.killed_at:
                raise KeyboardInterrupt
            self.n_made += 1
            return make()

        return super().get(out, key, counted)
