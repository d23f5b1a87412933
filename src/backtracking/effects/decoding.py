"""Whether a direction decodes to a marker: its rank beside those along random directions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtracking.records.decoded import Decoded, Random
from backtracking.records.intervals import Verdict
from backtracking.records.places import Place
from backtracking.statistics.nulls import random_direction_p


def tabulate_ranks(
    decoded: Sequence[Decoded], randoms: Sequence[Random], marker: str | None = None
) -> list[dict[str, Any]]:
    """One row per reading and marker: rank, percentile and z-score, beside random directions.

    Args:
        decoded: what was read.
        randoms: the null of each unembedding.
        marker: the one that is wanted; None for all.
    """
    null = {
        (one.unembedding, one.final_norm, one.marker): np.array(one.percentiles)
        for one in randoms
        if marker in (None, one.marker)
    }
    bound = {key: float(np.quantile(values, 0.95)) for key, values in null.items()}
    rows = []
    for one in decoded:
        for rank in one.ranks:
            key = one.unembedding, one.final_norm, rank.marker
            if key in null:
                row = one.place.row() | {"unembedding": one.unembedding}
                row |= {"final_norm": one.final_norm, "variant": one.variant}
                row |= {"cosine": one.cosine} | vars(rank)
                row |= {"random95": bound[key], "n_random": len(null[key])}
                rows.append(row | {"p": random_direction_p(rank.percentile, null[key])})
    return rows


def judge_ranks(
    decoded: Sequence[Decoded],
    randoms: Sequence[Random],
    chosen: Place,
    base_by_role: Mapping[str, str],
    marker: str | None,
    n_problems: int,
) -> list[dict[str, Any]]:
    """The marker along both directions of every pair, whole, behind the norm of the pair's model.

    Without a marker, or without a direction `action`, there is no row.

    Args:
        decoded: what was read.
        randoms: the null of each unembedding.
        chosen: place of the direction that is steered along; its window and layer count.
        base_by_role: every pair.
        marker: the word.
        n_problems: problems that directions were estimated on.
    """
    if marker is None:
        return []
    whole = [one for one in decoded if one.variant == "whole" and one.final_norm]
    rows = tabulate_ranks(whole, randoms, marker)
    read = {(one.place, one.unembedding): row for one, row in zip(whole, rows, strict=True)}
    found = []
    for target, base in base_by_role.items():
        action = read.get((Place(target, "action"), target))
        for (place, reader), row in read.items():
            is_matched = place == chosen._replace(role=place.role)
            is_ward = place.form == "ward" and place.layer == chosen.layer
            own = reader == target and place.role in (base, target)
            if own and action is not None and (is_matched or is_ward):
                found.append(judge_decoded(row, action, n_problems))
    return found


def judge_decoded(
    row: Mapping[str, Any], action: Mapping[str, Any], n_problems: int
) -> dict[str, Any]:
    """The claim that a direction does not decode to a marker, from rows of `tabulate_ranks`.

    It bears the form's name where that is not `matched`.

    It holds where the marker ranks no higher than along 95 % of random directions, and is
    untestable where it ranks no higher along the model's own `action` either: then the lens is
    blind. Conditional on the direction, so without an interval.

    Args:
        row: of a whole direction behind the final norm.
        action: the same of `action`, which is made of the marker's row.
        n_problems: problems that the direction was estimated on.
    """
    form = row["form"]
    parts: dict[str, Verdict] = {
        "action_decodes": "holds" if action["percentile"] > action["random95"] else "fails",
        f"{form}_does_not": "holds" if row["percentile"] <= row["random95"] else "fails",
    }
    sees = parts["action_decodes"] == "holds"
    return {
        "claim": "does_not_decode_to_marker" if form == "matched" else f"{form}_does_not_decode",
        "pair": f"{row['role']} -> {row['unembedding']}",
        "contrast": f"rank percentile of {row['marker']!r} along the {form} direction",
        "threshold": "not above the 95th percentile of random directions, where `action` is",
        "estimate": row["percentile"],
        "low": None,
        "high": None,
        "null": row["random95"],
        "p": row["p"],
        "n": n_problems,
        "verdict": parts[f"{form}_does_not"] if sees else "untestable",
        "kind": "emergent",
        "parts": parts,
        "must_fail": False,
    }
