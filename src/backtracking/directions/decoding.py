"""Tables of what directions decode to, beside random directions, and the verdict on a marker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions import lens
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.statistics.effect import Verdict
from backtracking.statistics.nulls import random_direction_p


@dataclass(frozen=True)
class Reader:
    """The way out of one model.

    Attributes:
        role: of the model.
        w_u: its unembedding; where a model ties its embeddings, these are the same rows.
        gain: of its final norm.
        id_by_marker: token id of each marker.
        spell: the tokens of ids.
    """

    role: str
    w_u: Float[Tensor, "d_vocab d_model"]
    gain: Float[Tensor, " d_model"]
    id_by_marker: Mapping[str, int]
    spell: Callable[[list[int]], list[str]]


@dataclass(frozen=True)
class Decoded:
    """One way to read the same directions: which rows, and through what.

    Attributes:
        variant: `whole`, or `without_markers`.
        final_norm: whether the final norm's gain was applied.
        logits: of the directions.
        null: of random directions.
        cosines: of each direction read with the whole one.
    """

    variant: str
    final_norm: bool
    logits: Float[Tensor, "n d_vocab"]
    null: Float[Tensor, "n_null d_vocab"]
    cosines: Float[Tensor, " n"]


def reader_of(role: str, loaded: LoadedModel, markers: Sequence[str]) -> Reader:
    """A model's way out, with the ids of the markers, which are tokens of its vocabulary."""
    ids = loaded.tokenizer.get_vocab()
    return Reader(
        role,
        unembedding(loaded).cpu(),
        final_norm_gain(loaded).cpu(),
        {marker: ids[marker] for marker in markers},
        lambda chosen: [str(token) for token in loaded.tokenizer.convert_ids_to_tokens(chosen)],
    )


def decode(
    reader: Reader, directions: Float[Tensor, "n d_model"], randoms: Float[Tensor, "k d_model"]
) -> list[Decoded]:
    """The directions with and without the final norm, and without their part in the markers."""
    ids = list(reader.id_by_marker.values())
    bare = lens.without_markers(directions, reader.w_u, reader.gain, ids)
    cosines = torch.cosine_similarity(directions.double(), bare, dim=1)
    whole = torch.ones_like(cosines)
    found = []
    for variant, rows, kept, gain in (
        ("whole", directions, whole, reader.gain),
        ("whole", directions, whole, None),
        ("without_markers", bare, cosines, reader.gain),
    ):
        logits, null = (lens.decode(one, reader.w_u, gain) for one in (rows, randoms))
        found.append(Decoded(variant, gain is not None, logits, null, kept))
    return found


def tabulate_ranks(reader: Reader, names: Sequence[str], decoded: Decoded) -> list[dict[str, Any]]:
    """One row per direction and marker: rank, percentile and z-score, beside random directions."""
    ids = list(reader.id_by_marker.values())
    rank, percentile, z = (
        measure(decoded.logits, ids).numpy()
        for measure in (lens.ranks, lens.rank_percentiles, lens.z_scores)
    )
    random = lens.rank_percentiles(decoded.null, ids)
    bounds = random.quantile(0.95, dim=0).tolist()
    return [
        {"direction": name, "unembedding": reader.role, "final_norm": decoded.final_norm}
        | {"variant": decoded.variant, "cosine": float(decoded.cosines[row])}
        | {"marker": marker, "rank": float(rank[row, column])}
        | {"percentile": float(percentile[row, column]), "z": float(z[row, column])}
        | {"random95": bounds[column], "n_random": len(random)}
        | {"p": random_direction_p(float(percentile[row, column]), random[:, column].numpy())}
        for row, name in enumerate(names)
        for column, marker in enumerate(reader.id_by_marker)
    ]


def tabulate_tokens(
    reader: Reader, names: Sequence[str], decoded: Decoded, n_tokens: int
) -> list[dict[str, Any]]:
    """One row per direction: its highest and its lowest tokens."""
    highest, lowest = lens.extremes(decoded.logits, n_tokens)
    return [
        {"direction": name, "unembedding": reader.role, "final_norm": decoded.final_norm}
        | {"variant": decoded.variant}
        | {"highest": reader.spell(highest[row].tolist())}
        | {"lowest": reader.spell(lowest[row].tolist())}
        for row, name in enumerate(names)
    ]


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
    source, form, *_ = row["direction"].split(".")
    parts: dict[str, Verdict] = {
        "action_decodes": "holds" if action["percentile"] > action["random95"] else "fails",
        f"{form}_does_not": "holds" if row["percentile"] <= row["random95"] else "fails",
    }
    sees = parts["action_decodes"] == "holds"
    return {
        "claim": "does_not_decode_to_marker" if form == "matched" else f"{form}_does_not_decode",
        "pair": f"{source} -> {row['unembedding']}",
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
