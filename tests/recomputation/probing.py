"""A probe's AUROC, its best baseline's, and the paired difference, with scikit-learn."""

from collections.abc import Iterator

import numpy as np
from recomputation.comparing import Compared
from recomputation.parsing import STATES, Decision
from recomputation.resampling import jackknife
from recomputation.study import Study
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

TARGET = "backtracks"


def difference(study: Study) -> Iterator[Compared]:
    """The probe of the next action in the model under study, at the cell that dev chose."""
    (row,) = (
        one
        for one in study.table("probe/cells")
        if (one["role"], one["target"]) == (study.studied, TARGET)
    )
    every = study.decisions
    rows = [n for n, one in enumerate(every) if one.kind != "solved" and one.action is not None]
    split = np.array([study.split(every[n]) for n in rows])
    turns = np.array([every[n].action == "turns" for n in rows])
    layer, offset = row["layer"], row["offset"]
    resid = study.resid(study.studied)
    own = [resid[every[n].trace][layer, every[n].position + offset].numpy() for n in rows]
    penalties = study.params["probe"]["fitting"]["penalties"]
    baseline = features(study, row["baseline"], offset)[rows]
    scores, (penalty, _) = zip(
        *(score(one, turns, split, penalties) for one in (np.array(own), baseline)), strict=True
    )
    is_test = split == "test"
    turns, problems = turns[is_test], [study.problem(every[n]) for n in rows]
    problems = np.array(problems)[is_test].tolist()

    def gap(kept: np.ndarray) -> float:
        first, second = (auroc(turns[kept], one[kept]) for one in scores)
        return first - second

    # Four decimals are printed, and fits end a little before their minimum: a pair of decisions
    # ranked otherwise moves an AUROC by one over the number of pairs, and two pairs may be so.
    reach = 1e-4 + 2 / float(max(1, turns.sum() * (~turns).sum()))
    aurocs = [auroc(turns, one) for one in scores]
    yield Compared("probe, penalty", row["penalty"], penalty, 0.0)
    yield Compared("probe, AUROC", row["auroc"]["value"], aurocs[0], reach)
    yield Compared("probe, AUROC of its baseline", row["baseline_auroc"], aurocs[1], reach)
    whole, printed = gap(np.ones(len(turns), dtype=bool)), row["difference"]
    low, high = jackknife(gap, problems, study.params["statistics"]["level"])
    yield Compared("probe, difference", printed["value"], whole, 2 * reach)
    yield Compared("probe, difference, lower end", printed["low"], low, 4 * reach)
    yield Compared("probe, difference, upper end", printed["high"], high, 4 * reach)


def auroc(turns: np.ndarray, scores: np.ndarray) -> float:
    """P(a turning decision is scored above another one), ties as half; NaN without one of both."""
    n, m = int(turns.sum()), int((~turns).sum())
    return float((rankdata(scores)[turns].sum() - n * (n + 1) / 2) / (n * m)) if n * m else np.nan


def score(
    x: np.ndarray, turns: np.ndarray, split: np.ndarray, penalties: list[float]
) -> tuple[np.ndarray, float]:
    """Log-odds of test rows by the penalty with the least log loss on dev, and that penalty."""
    train, dev, test = (split == name for name in ("train", "dev", "test"))
    deviation = x[train].std(axis=0)
    flat = deviation <= 1e-12 * (1 + np.abs(x[train].mean(axis=0)))
    x = (x - x[train].mean(axis=0)) / np.where(flat, np.inf, deviation)
    found = []
    for penalty in penalties:
        fit = LogisticRegression(C=1 / (penalty * train.sum()), tol=1e-9, max_iter=100_000)
        fit.fit(x[train], turns[train])
        loss = log_loss(turns[dev], fit.predict_proba(x[dev]), labels=[False, True])
        found.append((loss, penalty, fit.decision_function(x[test])))
    _, penalty, scores = min(found, key=lambda one: one[:2])
    return scores, penalty


def features(study: Study, name: str, offset: int) -> np.ndarray:
    """What a baseline reads of every decision; categories are those of train problems."""
    every = study.decisions
    is_train = np.array([study.split(one) == "train" for one in every])

    def one_hot(codes: list[list[int]]) -> np.ndarray:
        table = np.array(codes)
        known = [sorted({int(c) for c in slot[is_train] if c >= 0}) for slot in table.T]
        columns = zip(table.T, known, strict=True)
        return np.concatenate([slot[:, None] == ids for slot, ids in columns], axis=1).astype(float)

    def token(one: Decision, at: int) -> int:
        return study.traces[one.trace].ids[at] if at >= 0 else -1

    if name == "position":
        position = np.array([one.position for one in every], dtype=float)
        cuts = np.quantile(position[is_train], np.arange(1, 12) / 12)
        bins = one_hot([[int((cuts <= one).sum())] for one in position])
        return np.column_stack([position, bins])
    if name == "words":
        n = min(8, max(one.position + 1 - one.start for one in every))
        places = [[one.position - back for back in range(n)] for one in every]
        return one_hot(
            [
                [token(one, at) if at >= one.start else -1 for at in its]
                for one, its in zip(every, places, strict=True)
            ]
        )
    if name == "history":
        return np.array([history(study, one) for one in every])
    if name == "token":
        return one_hot([[token(one, one.position + offset)] for one in every])
    if name == "embedding":
        ids = [token(one, one.position + offset) for one in every]
        return study.model(study.studied).embedding[ids].numpy()
    parts = ("position", "words", "history", "token")
    return np.concatenate([features(study, one, offset) for one in parts], axis=1)


def history(study: Study, decision: Decision) -> np.ndarray:
    """Labels of the sentences before a comparison: how many of each, and the last three."""
    sentences = study.traces[decision.trace].sentences[: decision.sentence]
    codes = [STATES.index(one.state) for one in sentences]
    each = np.eye(len(STATES))
    counts = np.bincount(codes, minlength=len(STATES))
    last = [each[codes[-n]] if n <= len(codes) else 0 * each[0] for n in (1, 2, 3)]
    return np.concatenate([counts, *last])
