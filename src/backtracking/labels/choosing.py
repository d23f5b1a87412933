"""Short lists of markers, chosen greedily: each next one is what raises F1 most."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, combinations

import numpy as np
from jaxtyping import Bool, Int

from backtracking.labels.cues import CUES
from backtracking.labels.examples import Example
from backtracking.labels.markers import ANY, MODELS_BY_FAMILY, Marker, MarkerSet, seen_in

FEWEST = 4
"""Sentences that a marker has to be in."""

LEAST_GAIN = 0.003
"""Of F1, by which a marker has to raise it."""

_EXCLUDED = ("verify", "restate", "recall", "question", "let")
"""What a marker may ask to be absent."""


def choose(examples: Sequence[Example]) -> list[MarkerSet]:
    """The markers of every family on the examples of its models, and of `any` on all of them."""
    by_family = {
        family: [one for one in examples if one.family == family] for family in MODELS_BY_FAMILY
    }
    return [_chosen(family, its) for family, its in {**by_family, ANY: list(examples)}.items()]


def _chosen(family: str, examples: Sequence[Example]) -> MarkerSet:
    if not any(any(one.backtracks) for one in examples):
        return MarkerSet(family, (), sum(len(one.texts) for one in examples), 0, 0.0)
    had = [seen_in(text) for one in examples for text in one.texts]
    true = np.array([one for example in examples for one in example.backtracks])
    candidates = _candidates(had)
    markers = list(candidates)
    rows = np.array([candidates[marker] for marker in markers])
    chosen, f1 = _greedy(rows, true)
    return MarkerSet(
        family,
        tuple(markers[number] for number in chosen),
        len(true),
        int(true.sum()),
        round(f1, 4),
    )


def _candidates(had: Sequence[frozenset[str]]) -> dict[Marker, Bool[np.ndarray, " sentences"]]:
    """Which sentences have each marker that is neither too rare nor the same as a shorter one."""
    counts = Counter(chain.from_iterable(had))
    parts = sorted(part for part, n in counts.items() if n > FEWEST)
    has = {part: np.array([part in one for one in had]) for part in parts}
    cues = [part for part in parts if part in CUES]
    found: dict[Marker, np.ndarray] = {(part,): has[part] for part in parts}
    pairs = chain(combinations(cues, 2), ((a, b) for a in parts if a[0] == "^" for b in cues))
    found |= {pair: has[pair[0]] & has[pair[1]] for pair in pairs}
    found |= dict(_without(found, {cue: has[cue] for cue in _EXCLUDED if cue in has}))
    return {marker: row for marker, row in found.items() if row.sum() >= FEWEST}


def _without(
    found: dict[Marker, np.ndarray], excluded: dict[str, np.ndarray]
) -> Iterator[tuple[Marker, np.ndarray]]:
    for marker, row in found.items():
        for cue, other in excluded.items():
            if cue not in marker and (row & other).any():
                yield (*marker, f"!{cue}"), row & ~other


def _greedy(
    rows: Bool[np.ndarray, "markers sentences"], true: Bool[np.ndarray, " sentences"]
) -> tuple[list[int], float]:
    """Numbers of the chosen rows in their order, and the F1 of their union."""
    counts: Int[np.ndarray, "markers sentences"] = rows.astype(np.int32)
    marked = np.zeros(len(true), dtype=bool)
    chosen: list[int] = []
    best = 0.0
    while True:
        hits = (marked & true).sum() + counts @ (~marked & true)
        f1 = 2 * hits / (marked.sum() + counts @ ~marked + true.sum())
        number = int(f1.argmax())
        if f1[number] < best + LEAST_GAIN:
            return chosen, best
        best = float(f1[number])
        chosen.append(number)
        marked |= rows[number]
