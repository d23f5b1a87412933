"""The primary effect with its interval by problem, and the bound of its isotropic null."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from recomputation import resampling
from recomputation.comparing import Compared
from recomputation.directions import contrast_rows, matched
from recomputation.parsing import Decision
from recomputation.study import Study
from torch import Tensor

LEGAL = ("Wait", "No", "Undo", "Try", "Hmm", "Well", "Check", "Give", "Stop")
"""Words that may stand after a comparison."""


N_AGAIN = 200
"""Times that we estimate the direction again, where the study's interval holds for that too."""


@dataclass(frozen=True)
class Edits:
    """Changes of x to x + (value - x . guide) vector, each a row."""

    vectors: Tensor
    guides: Tensor
    values: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """x without an edit, and then under each."""
        lengths = self.values - self.guides @ x
        return torch.cat([x[None], x + lengths[:, None] * self.vectors])


def primary(study: Study) -> Iterator[Compared]:
    """The base's direction set to the mean of `over`, at live decisions of test problems.

    Of its nulls the isotropic ones are drawn again from the study's seed. Their bound is what 95 %
    of them stay below: beyond it, (1 + #{>=}) / (1 + K) is at most 0.05.
    """
    (row,) = (o for o in study.table("effects/steer/evidence") if o["claim"] == "primary")
    steer, chosen = study.params["steer"], _live(study)
    n_again = N_AGAIN if row["resampled"] == "test and train problems" else 0
    edits = _edits(study, n_again)
    n_again = len(edits.values) - 1 - steer["n_null"]
    layer = study.table("steer/choice")["layer"]
    found = [_at(study, study.studied, layer, one, edits) for one in chosen]
    opens, backs, legal = np.stack(found, axis=2)
    opens, backs = opens[1:] - opens[:1], backs[1:] - backs[:1]
    yield Compared("primary effect", row["estimate"], float(backs[0].mean()), 1e-5)
    yield Compared("primary, P_legal", row["legal"], float(legal[1].mean()), 1e-5)
    ends = resampling.bootstrap(
        backs[1 : 1 + n_again] if n_again else backs[0],
        [study.problem(one) for one in chosen],
        study.params["statistics"],
        n_directions=steer["n_retrained"] if n_again else 1,
    )
    yield Compared("primary, lower end", row["low"], ends.low, ends.reach_low)
    yield Compared("primary, upper end", row["high"], ends.high, ends.reach_high)
    opened, turned = (one[1 + n_again :].mean(axis=1) for one in (opens, backs))
    null = np.sort(_as_read(opened, turned, steer["n_null_back"]))
    bound = float(null[min(len(null) - (len(null) + 1) // 20, len(null) - 1)])
    yield Compared("primary, isotropic bound", row["nulls"]["isotropic"]["bound"], bound, 1e-5)


def baseline(study: Study) -> Iterator[Compared]:
    """P_back of the base without an edit: it writes "Wait for 7.", which is no backtracking."""
    (kind,) = study.params["contrast"]["negative"]
    (row,) = (
        one
        for one in study.table("effects/steer/forced")
        if (one["target"], one["direction"], one["kind"]) == (study.base, "baseline", kind)
    )
    d = study.model(study.base).embedding.shape[1]
    none = Edits(*(torch.zeros(0, *shape, dtype=torch.float64) for shape in ((d,), (d,), ())))
    found = [_at(study, study.base, 0, one, none)[:, 0] for one in _live(study)]
    _, back, legal = np.mean(found, axis=0).tolist()
    yield Compared("base, P_back", row["value"], back, 1e-6)
    yield Compared("base, P_legal", row["legal"], legal, 1e-6)


def _live(study: Study) -> list[Decision]:
    return [
        one
        for one in study.contrasted("test")[0]
        if one.kind in study.params["contrast"]["negative"]
        and study.traces[one.trace].sample < study.params["steer"]["n_samples"]
    ]


def _edits(study: Study, n_again: int) -> Edits:
    """The edit, the same from train problems drawn anew, and isotropic directions moved as far.

    A draw without both classes gives none.
    """
    choice, steer = study.table("steer/choice"), study.params["steer"]
    values, is_positive, stratum, problem = contrast_rows(
        study, study.base, choice["layer"], choice["window"]
    )
    held, held_positive, _, held_problem = contrast_rows(
        study, study.studied, choice["layer"], [0, 0]
    )
    names, rng = sorted({*problem, *held_problem}), np.random.default_rng(321)
    draws = [Counter(names), *(Counter(rng.choice(names, len(names))) for _ in range(n_again))]
    guides, wanted = [], []
    for draw in draws:
        times = np.array([draw[one] for one in problem], dtype=float)
        along = matched(values, is_positive, stratum, times)
        weight = np.array([draw[one] for one in held_problem], dtype=float) * held_positive
        if along.isfinite().all() and weight.any():
            guides.append(along / along.norm())
            wanted.append(torch.from_numpy(weight / weight.sum()) @ held @ guides[-1])
    generator = torch.Generator().manual_seed(steer["seed"])
    drawn = torch.randn(steer["n_null"], len(guides[0]), generator=generator, dtype=torch.float64)
    vectors = torch.cat([torch.stack(guides), drawn / drawn.norm(dim=1, keepdim=True)])
    along = [*guides, *guides[:1] * len(drawn)]
    return Edits(vectors, torch.stack(along), torch.stack([*wanted, *wanted[:1] * len(drawn)]))


def _as_read(opens: np.ndarray, backs: np.ndarray, n: int) -> np.ndarray:
    """Effects of null directions: on P_back of the n that open most and of the n first others."""
    strongest = np.argsort(-opens, kind="stable")[:n]
    others = [at for at in range(len(opens)) if at not in strongest][:n]
    read = np.isin(np.arange(len(opens)), [*strongest, *others])
    return np.where(read, backs, opens)


def _at(study: Study, role: str, layer: int, decision: Decision, edits: Edits) -> np.ndarray:
    """P(an opener), P(backtracking) and P_legal at a decision, without an edit and under each.

    "Wait" counts only as far as no " for" follows it.
    """
    model, id_of, at = study.model(role), study.id_by_word, decision.position
    read = model.read([*study.traces[decision.trace].ids[: at + 1], id_of["Wait"]])
    edited = edits(read.resid[layer, at])
    resid = torch.stack([edited, read.resid[layer, at + 1].expand_as(edited)], dim=1)
    p = model.behind(read, layer, at, resid).softmax(dim=2)
    wait, no, undo = (p[:, 0, id_of[word]] for word in ("Wait", "No", "Undo"))
    back = wait * (1 - p[:, 1, id_of["for"]]) + no + undo
    legal = p[:, 0, [id_of[word] for word in LEGAL]].sum(dim=1)
    return torch.stack([wait + no + undo, back, legal]).numpy()
