"""Whether a direction decodes to a marker: its rank beside those along random directions."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from backtracking.records.decoded import Decoded, Random, Rank
from backtracking.records.intervals import Verdict
from backtracking.records.places import Place
from backtracking.records.rows.claims import Evidence, Finding
from backtracking.records.rows.measures import MarkerRank
from backtracking.statistics.nulls import random_direction_p


def tabulate_ranks(
    decoded: Sequence[Decoded], randoms: Sequence[Random], marker: str | None = None
) -> list[MarkerRank]:
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
                rows.append(_row(one, rank, null[key], bound[key]))
    return rows


def _row(one: Decoded, rank: Rank, null: Float[np.ndarray, " _"], bound: float) -> MarkerRank:
    place = one.place
    return MarkerRank(
        role=place.role,
        form=place.form,
        window=place.window_text,
        layer=place.layer,
        state=place.state,
        number=place.number,
        unembedding=one.unembedding,
        final_norm=one.final_norm,
        variant=one.variant,
        cosine=one.cosine,
        rank=rank,
        random95=bound,
        n_random=len(null),
        p=random_direction_p(rank.percentile, null),
    )


def judge_ranks(
    decoded: Sequence[Decoded],
    randoms: Sequence[Random],
    chosen: Place,
    base_by_role: Mapping[str, str],
    marker: str | None,
    n_problems: int,
) -> list[Evidence]:
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


def judge_decoded(row: MarkerRank, action: MarkerRank, n_problems: int) -> Evidence:
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
    form, percentile = row.form, row.rank.percentile
    sees: Verdict = "holds" if action.rank.percentile > action.random95 else "fails"
    stays: Verdict = "holds" if percentile <= row.random95 else "fails"
    finding = Finding(
        verdict=stays if sees == "holds" else "untestable",
        estimate=percentile,
        n=n_problems,
        null=row.random95,
        p=row.p,
        parts={"action_decodes": sees, f"{form}_does_not": stays},
        direction=row.role,
        target=row.unembedding,
    )
    return Evidence(
        claim="does_not_decode_to_marker" if form == "matched" else f"{form}_does_not_decode",
        contrast=f"rank percentile of {row.rank.marker!r} along the {form} direction",
        threshold="not above the 95th percentile of random directions, where `action` is",
        kind="emergent",
        finding=finding,
    )
