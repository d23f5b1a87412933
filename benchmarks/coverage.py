"""How often do the 95 % intervals hold the truth? Simulated studies at the organism's size.

    PYTHONPATH=src python benchmarks/coverage.py [studies] [first seed]

Prints a table: measure, hits, studies, and the share with its binomial error. Of 200 studies an
interval that covers at 95 % holds the truth in 183 to 196.
"""

import sys
import time

from coverage_studies import STUDIES, count_hits


def main(n: int = 200, first_seed: int = 0) -> None:
    """One row per measure."""
    print(f"{'measure':18}{'hits':>6}{'of':>6}{'share':>9}{'error':>8}{'seconds':>9}")
    for study in STUDIES:
        start = time.perf_counter()
        hits_by_measure = count_hits(study, n, first_seed)
        seconds = (time.perf_counter() - start) / len(hits_by_measure)
        for measure, hits in hits_by_measure.items():
            share = hits / n
            error = (share * (1 - share) / n) ** 0.5
            print(f"{measure:18}{hits:6}{n:6}{share:9.3f}{error:8.3f}{seconds:9.1f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
