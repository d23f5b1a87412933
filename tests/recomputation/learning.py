"""NLL of the hidden Markov model, learnt by EM from the starts that the study says."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from recomputation.comparing import Compared
from recomputation.hidden import END, Expected, Hidden, Sequence
from recomputation.parsing import STATES
from recomputation.study import Study
from sklearn.cluster import KMeans


def hidden(study: Study) -> Iterator[Compared]:
    """NLL a sentence on test problems, with the activations of the model under study."""
    chosen, plan = study.table("transitions/selection"), study.params["transitions"]
    role = study.studied
    (row,) = (
        one
        for one in study.table("transitions/models")
        if (one["role"], one["class"]) == (role, "hmm")
    )
    by_split = sequences(study, role, chosen["layer"], plan["rank"])
    train, test = by_split["train"], by_split["test"]
    weights = [3.0 if number % 2 == 0 else 0.5 for number in range(plan["n_starts"])]
    starts = [
        start(train, row["n_states"], plan["seed"] + number, weight)
        for number, weight in enumerate(weights)
    ]
    model, _ = max((climb(train, one, plan) for one in starts), key=lambda fit: fit[1])
    losses = [
        loss
        for one, emitted in zip(test, model.emitted(test), strict=True)
        for loss in model.losses(one, emitted)
    ]
    # EM ends where a round changes less than the tolerance; both go the same way from one start.
    reach = 5e-5 + 10 * plan["tolerance"]
    value = float(np.mean(losses))
    yield Compared(f"NLL, HMM of {row['n_states']} states", row["nll"]["value"], value, reach)


def climb(train: list[Sequence], first: list[Expected], plan: Any) -> tuple[Hidden, float]:
    """EM: the model, and the log-likelihood a sentence that it reached."""
    model, before = Hidden(train, first), -np.inf
    n = sum(len(one.x) for one in train)
    for _ in range(plan["max_rounds"]):
        both = zip(train, model.emitted(train), strict=True)
        found = [model.expected(*one) for one in both]
        now = sum(one.log_likelihood for one in found) / n
        model = Hidden(train, found)
        if abs(now - before) < plan["tolerance"]:
            return model, now
        before = now
    raise AssertionError(f"EM has not converged after {plan['max_rounds']} rounds")


def start(train: list[Sequence], n_states: int, seed: int, label_weight: float) -> list[Expected]:
    """Clusters of activation and label, neighbouring sentences taken as independent."""
    x = np.concatenate([one.x for one in train])
    codes = np.concatenate([one.labels for one in train])
    spread = label_weight * np.sqrt(x.var(axis=0).mean())
    points = np.concatenate([x, spread * np.eye(END)[codes]], axis=1)
    clusters = KMeans(n_states, n_init="auto", max_iter=30, random_state=seed).fit_predict(points)
    states = np.split(
        np.eye(n_states)[clusters] * 0.9 + 0.1 / n_states,
        np.cumsum([len(one.x) for one in train])[:-1],
    )
    return [
        Expected(s, np.column_stack([s[:-1].T @ s[1:], s[-1] * one.ended]), np.nan)
        for s, one in zip(states, train, strict=True)
    ]


def sequences(study: Study, role: str, layer: int, rank: int) -> dict[str, list[Sequence]]:
    """Traces by split; activations at ends of sentences in whitened components of train's."""
    ends = [
        resid[layer, [one.end - 1 for one in trace.sentences]].numpy()
        for resid, trace in zip(study.resid(role), study.traces, strict=True)
    ]
    both = list(zip(study.traces, ends, strict=True))
    train = np.concatenate([values for trace, values in both if trace.split == "train"])
    mean = train.mean(axis=0)
    _, sizes, components = np.linalg.svd(train - mean, full_matrices=False)
    scaled = components[:rank] / sizes[:rank, None] * np.sqrt(len(train) - 1)
    found: dict[str, list[Sequence]] = {}
    for trace, values in both:
        whole = trace.whole_sentences
        labels = np.array([STATES.index(one.state) for one in whole])
        its = Sequence(labels, (values[: len(whole)] - mean) @ scaled.T, not trace.is_cut)
        found.setdefault(trace.split, []).append(its)
    return found
