"""Recomputes a finished study: `PYTHONPATH=tests python -m recomputation [ROOT]` prints a table.

Exits with 1 where a number is further from the printed one than rounding and chance allow.
"""

import sys
from pathlib import Path

from recomputation.quantities import QUANTITIES
from recomputation.study import Study


def main(root: str = ".") -> int:
    """Prints every quantity as the study has it, recomputed, and by how much both differ."""
    study, n_wrong = Study(Path(root)), 0
    print(f"{'quantity':34}{'printed':>12}{'recomputed':>12}{'difference':>12}{'allowed':>9}")
    for recompute in QUANTITIES:
        for one in recompute(study):
            n_wrong += not one.agrees
            print(one.line, flush=True)
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
