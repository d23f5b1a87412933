"""The primary effect with its interval and its null, and a corrected cosine of two directions."""

from collections.abc import Iterator

import numpy as np
import torch
from recomputation import resampling
from recomputation.comparing import Compared
from recomputation.llama import Llama
from recomputation.study import Decision, Study, rows
from torch import Tensor

N_SETS = 40
"""Sets of as many random halves as the study has: their spread is the error of its cosine."""

LEGAL = ("Wait", "No", "Undo", "Try", "Hmm", "Well", "Check", "Give", "Stop")
"""Words that may stand after a comparison."""


def contrast_rows(
    study: Study, role: str, layer: int, window: list[int]
) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Train rows of both classes with class, stratum and problem of each."""
    chosen, is_positive = study.contrasted("train")
    totals = np.array([one.total for one in chosen])
    n = study.params["directions"]["n_strata"]
    stratum = np.searchsorted(np.quantile(totals, np.arange(1, n) / n), totals, side="right")
    values = rows(study, role, layer, chosen, window)
    return values, np.array(is_positive), stratum, np.array([study.problem(o) for o in chosen])


def matched(
    values: Tensor, is_positive: np.ndarray, stratum: np.ndarray, kept: np.ndarray
) -> Tensor:
    """Difference of class means within strata, weighed by the harmonic mean of the class sizes."""
    total, weights = torch.zeros(values.shape[1], dtype=torch.float64), 0.0
    for one in np.unique(stratum):
        sides = [kept & (stratum == one) & (is_positive == side) for side in (True, False)]
        n, m = (int(side.sum()) for side in sides)
        if n and m:
            weight = n * m / (n + m)
            positive, negative = (values[torch.from_numpy(side)].mean(dim=0) for side in sides)
            total, weights = total + weight * (positive - negative), weights + weight
    return total / weights


def direction(study: Study, role: str, layer: int, window: list[int]) -> Tensor:
    """The matched direction of a model, from its own forward pass."""
    values, is_positive, stratum, _ = contrast_rows(study, role, layer, window)
    return matched(values, is_positive, stratum, np.ones(len(stratum), dtype=bool))


def cosine(study: Study) -> Iterator[Compared]:
    """Cosine of the pair's two directions at the chosen place, raw and corrected by halves."""
    choice = study.table("steer/choice")
    layer, window = choice["layer"], choice["window"]
    text = f"{window[0]}:{window[1]}"
    key = (f"{study.base}-{study.studied}", "matched", layer, text)
    (row,) = (
        one
        for one in study.table("directions/cosines")
        if (one["pair"], one["form"], one["layer"], one["window"]) == key
    )
    pair = [contrast_rows(study, role, layer, window) for role in (study.base, study.studied)]
    whole = [matched(*one[:3], np.ones(len(one[2]), dtype=bool)) for one in pair]
    raw = float(torch.cosine_similarity(*whole, dim=0))
    yield Compared("cosine, raw", row["raw"], raw, 1e-5)
    train = sorted({trace.problem for trace in study.traces if trace.split == "train"})
    rng, n = np.random.default_rng(654), study.params["directions"]["n_splits"]
    sets = np.array([_corrected(pair, train, n, rng) for _ in range(N_SETS)])
    defined = sets[np.isfinite(sets)]
    value = float(defined.mean()) if 2 * len(defined) > N_SETS else np.nan
    spread = 4 * float(defined.std()) * (1 + 1 / N_SETS) ** 0.5 if len(defined) else 0.0
    yield Compared("cosine, corrected", row["cosine"], value, spread)


def _corrected(
    pair: list[tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]],
    train: list[str],
    n_splits: int,
    rng: np.random.Generator,
) -> float:
    across, first, second = np.zeros((3, n_splits))
    for split in range(n_splits):
        half = rng.permutation(train)[: len(train) // 2]
        (a, b), (c, d) = (
            [matched(*one[:3], np.isin(one[3], half) == side) for side in (True, False)]
            for one in pair
        )
        across[split] = float(a @ d + b @ c) / 2
        first[split], second[split] = float(a @ b), float(c @ d)
    if min(first.mean(), second.mean()) <= 0:
        return np.nan
    return float(across.mean() / np.sqrt(first.mean() * second.mean()))


def primary(study: Study) -> Iterator[Compared]:
    """The base's direction set to the mean of `over`, at live decisions of test problems."""
    (row,) = (o for o in study.table("effects/steer/evidence") if o["claim"] == "primary")
    (effects, legal), bound = _effects(study)
    problems = [study.problem(one) for one in _live(study)]
    statistics = study.params["statistics"]
    yield Compared("primary effect", row["estimate"], float(effects.mean()), 1e-5)
    yield Compared("primary, P_legal", row["legal"], float(legal.mean()), 1e-5)
    low, high, deviation = resampling.bootstrap(effects.tolist(), problems, statistics["level"])
    reach = resampling.error_of_end(deviation, statistics["level"], statistics["n_resamples"])
    yield Compared("primary, lower end", row["low"], low, reach)
    yield Compared("primary, upper end", row["high"], high, reach)
    yield Compared("primary, isotropic bound", row["nulls"]["isotropic"]["bound"], bound, 1e-5)


def _live(study: Study) -> list[Decision]:
    return [
        one
        for one in study.contrasted("test")[0]
        if one.kind in study.params["contrast"]["negative"]
        and study.traces[one.trace].sample < study.params["steer"]["n_samples"]
    ]


def _effects(study: Study) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Change of P_back, and P_legal, at every decision; and the bound of isotropic directions.

    The bound is what 95 % of them stay below: beyond it, (1 + #{>=}) / (1 + K) is at most 0.05.
    """
    choice, steer = study.table("steer/choice"), study.params["steer"]
    layer, model = choice["layer"], study.model(study.studied)
    along = direction(study, study.base, layer, choice["window"])
    along /= along.norm()
    values, is_positive, _, _ = contrast_rows(study, study.studied, layer, [0, 0])
    wanted = float(values[torch.from_numpy(is_positive)].mean(dim=0) @ along)
    generator = torch.Generator().manual_seed(steer["seed"])
    drawn = torch.randn(steer["n_null"], len(along), generator=generator, dtype=torch.float64)
    vectors = torch.cat([along[None], drawn / drawn.norm(dim=1, keepdim=True)])
    found = [_at(study, model, layer, one, along, wanted, vectors) for one in _live(study)]
    opens, backs, legal = (np.stack(one, axis=1) for one in zip(*found, strict=True))
    opens, backs = opens[1:] - opens[:1], backs[1:] - backs[:1]
    null = _as_read(opens[1:].mean(axis=1), backs[1:].mean(axis=1), steer["n_null_back"])
    n_above = (len(null) + 1) // 20
    bound = float(np.sort(null)[min(len(null) - n_above, len(null) - 1)])
    return (backs[0], legal[1]), bound


def _as_read(opens: np.ndarray, backs: np.ndarray, n: int) -> np.ndarray:
    """Effects of null directions: on P_back of the n that open most and of the n first others."""
    strongest = np.argsort(-opens, kind="stable")[:n]
    others = [at for at in range(len(opens)) if at not in strongest][:n]
    read = np.isin(np.arange(len(opens)), [*strongest, *others])
    return np.where(read, backs, opens)


def _at(
    study: Study,
    model: Llama,
    layer: int,
    decision: Decision,
    along: Tensor,
    wanted: float,
    vectors: Tensor,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(an opener), P(backtracking) and P_legal at a decision, without an edit and along vectors.

    "Wait" counts only as far as no " for" follows it.
    """
    ids, at = study.traces[decision.trace].ids, decision.position
    read = model.read([*ids[: at + 1], study.id_by_word["Wait"]])
    x = read.resid[layer, at:]
    moved = torch.cat([torch.zeros_like(vectors[:1]), vectors])
    moved *= wanted - float(x[0] @ along)
    resid = torch.stack([x[0] + moved, x[1].expand_as(moved)], dim=1)
    p = model.behind(read, layer, at, resid).softmax(dim=2)
    ids_of = study.id_by_word
    wait, no, undo = (p[:, 0, ids_of[word]] for word in ("Wait", "No", "Undo"))
    back = wait * (1 - p[:, 1, ids_of["for"]]) + no + undo
    legal = p[:, 0, [ids_of[word] for word in LEGAL]].sum(dim=1)
    return (wait + no + undo).numpy(), back.numpy(), legal.numpy()
