"""A hidden Markov model of labels and activations: our own EM, trace by trace, in logarithms."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from recomputation.comparing import Compared
from recomputation.study import STATES, Study
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans

END = len(STATES)


@dataclass(frozen=True)
class Sequence:
    """A trace: label and reduced activation of each sentence, and whether its writer ended it."""

    labels: np.ndarray
    x: np.ndarray
    ended: bool


class Hidden:
    """Parameters that fit expected states best, each count with a tenth more, covariances shrunk.

    Args:
        train: the traces.
        states: expected states, sentences by states, one array a trace.
        moves: expected moves, END last.
    """

    def __init__(self, train: list[Sequence], states: list[np.ndarray], moves: np.ndarray) -> None:
        weight = np.concatenate(states)
        x = np.concatenate([one.x for one in train])
        labels = np.concatenate([one.labels for one in train])
        n, mass, d = weight.shape[1], weight.sum(axis=0), x.shape[1]
        first = sum(one[0] for one in states) + 0.1
        words = np.stack([weight[labels == code].sum(axis=0) for code in range(END)], 1) + 0.1
        self.initial = np.log(first / first.sum())
        self.moves = np.log((moves + 0.1) / (moves + 0.1).sum(axis=1, keepdims=True))
        self.words = np.log(words / words.sum(axis=1, keepdims=True))
        overall = np.cov(x.T, bias=True).reshape(d, d)
        self.laws = []
        for z in range(n):
            mean = (weight[:, z] @ x + x.mean(axis=0)) / (mass[z] + 1)
            scatter = ((x - mean) * weight[:, z : z + 1]).T @ (x - mean)
            covariance = (scatter + 5 * overall + 1e-6 * np.eye(d)) / (mass[z] + 5)
            self.laws.append(multivariate_normal(mean, covariance))

    def emitted(self, one: Sequence) -> np.ndarray:
        """log p(label, activation | state) of each sentence."""
        densities = np.stack([law.logpdf(one.x).reshape(len(one.x)) for law in self.laws], axis=1)
        return densities + self.words[:, one.labels].T

    def forward(self, one: Sequence) -> np.ndarray:
        """log p(all up to a sentence, its state)."""
        emitted, found = self.emitted(one), []
        ahead = self.initial
        for row in emitted:
            found.append(ahead + row)
            ahead = logsumexp(found[-1][:, None] + self.moves[:, :-1], axis=0)
        return np.array(found)

    def expected(self, one: Sequence) -> tuple[np.ndarray, np.ndarray, float]:
        """Expected states and moves of a whole trace, and its log-likelihood."""
        emitted, forward = self.emitted(one), self.forward(one)
        backward = np.zeros_like(forward)
        backward[-1] = self.moves[:, -1] if one.ended else 0.0
        for step in reversed(range(len(forward) - 1)):
            after = emitted[step + 1] + backward[step + 1]
            backward[step] = logsumexp(self.moves[:, :-1] + after, axis=1)
        total = float(logsumexp(forward[-1] + backward[-1]))
        states = np.exp(forward + backward - total)
        after = (emitted + backward)[1:, None]
        moves = np.exp(forward[:-1, :, None] + self.moves[:, :-1] + after - total).sum(axis=0)
        ends = states[-1] * one.ended
        return states, np.column_stack([moves, ends]), total

    def losses(self, one: Sequence) -> list[float]:
        """-log p of the next label, or END, from the past alone."""
        past = self.forward(one)
        past = past - logsumexp(past, axis=1, keepdims=True)
        ahead = logsumexp(past[:, :, None] + self.moves, axis=1)
        symbols = logsumexp(ahead[:, :-1, None] + self.words, axis=1)
        known = [-row[code] for row, code in zip(symbols, one.labels[1:], strict=False)]
        return [float(loss) for loss in known + [-ahead[-1, -1]] * one.ended]


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
    fits = [
        climb(by_split["train"], row["n_states"], plan["seed"] + n, 3.0 if n % 2 == 0 else 0.5, plan)
        for n in range(plan["n_starts"])
    ]
    model, _ = max(fits, key=lambda fit: fit[1])
    losses = [loss for one in by_split["test"] for loss in model.losses(one)]
    # EM ends where a round changes less than the tolerance; both go the same way from one start.
    reach = 5e-5 + 10 * plan["tolerance"]
    value = float(np.mean(losses))
    yield Compared(f"NLL, HMM of {row['n_states']} states", row["nll"]["value"], value, reach)


def climb(
    train: list[Sequence], n_states: int, seed: int, label_weight: float, plan: dict[str, float]
) -> tuple[Hidden, float]:
    """EM from clusters of activation and label, and the log-likelihood a sentence that it reached."""
    x = np.concatenate([one.x for one in train])
    codes = np.concatenate([one.labels for one in train])
    spread = label_weight * np.sqrt(x.var(axis=0).mean())
    points = np.concatenate([x, spread * np.eye(END)[codes]], axis=1)
    clusters = KMeans(n_states, n_init="auto", max_iter=30, random_state=int(seed))
    first = np.eye(n_states)[clusters.fit_predict(points)] * 0.9 + 0.1 / n_states
    states = np.split(first, np.cumsum([len(one.x) for one in train])[:-1])
    moves = sum(one[:-1].T @ one[1:] for one in states)
    ends = sum(s[-1] * one.ended for s, one in zip(states, train, strict=True))
    model, before = Hidden(train, states, np.column_stack([moves, ends])), -np.inf
    for _ in range(int(plan["max_rounds"])):
        found = [model.expected(one) for one in train]
        now = sum(one[2] for one in found) / len(x)
        model = Hidden(train, [one[0] for one in found], sum(one[1] for one in found))
        if abs(now - before) < plan["tolerance"]:
            return model, now
        before = now
    raise AssertionError(f"EM has not converged after {plan['max_rounds']} rounds")


def sequences(study: Study, role: str, layer: int, rank: int) -> dict[str, list[Sequence]]:
    """Traces by split; activations at ends of sentences in whitened components of train's."""
    ends = [
        resid[layer, [one.end - 1 for one in trace.sentences]].numpy()
        for resid, trace in zip(study.resid(role), study.traces, strict=True)
    ]
    is_train = [trace.split == "train" for trace in study.traces]
    train = np.concatenate([one for one, chosen in zip(ends, is_train, strict=True) if chosen])
    mean = train.mean(axis=0)
    _, sizes, components = np.linalg.svd(train - mean, full_matrices=False)
    scaled = components[:rank] / sizes[:rank, None] * np.sqrt(len(train) - 1)
    found: dict[str, list[Sequence]] = {}
    for trace, values in zip(study.traces, ends, strict=True):
        cut = trace.is_cut and trace.sentences[-1].end == len(trace.ids)
        n = len(trace.sentences) - cut
        labels = np.array([STATES.index(one.state) for one in trace.sentences[:n]])
        its = Sequence(labels, (values[:n] - mean) @ scaled.T, not trace.is_cut)
        found.setdefault(trace.split, []).append(its)
    return found
