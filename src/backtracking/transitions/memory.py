"""Order, dwell and entropy rate: how much of the past the labels remember."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from backtracking.records.rows.transitions import EntropyRate, Order
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.order_tests import order_test
from backtracking.transitions.registry import OF_LABELS, ORDERS, Fit
from backtracking.transitions.sequences import Sequences


def order_rows(
    test: Sequences,
    loss_by_model: Mapping[Fit, Float[np.ndarray, " rows"]],
    bootstrap: Bootstrap,
    n_draws: int,
    seed: int,
) -> list[Order]:
    """Each order against the next: likelihood ratio on test traces, and held-out gain in NLL."""
    rng = np.random.default_rng(seed)
    gains = np.stack([
        loss_by_model[Fit(None, lower)] - loss_by_model[Fit(None, higher)]
        for lower, higher in zip(ORDERS[:-1], ORDERS[1:], strict=True)
    ], axis=1)  # fmt: skip
    held_out = bootstrap.intervals(gains, list(test.row_problem))
    return [
        Order(order_test(test, order, n_draws, rng), gain) for order, gain in enumerate(held_out)
    ]


def entropy_rate(
    laws: Float[np.ndarray, "rows symbols"] | None,
    loss_by_model: Mapping[Fit, Float[np.ndarray, " rows"]],
    test: Sequences,
    bootstrap: Bootstrap,
) -> EntropyRate:
    """Bounds on the entropy of the next symbol given the history of labels, in nats a sentence.

    From below by the entropy of the writer's law, which knows more than labels (it is exact where
    traces are the writer's; None where no law is known); from above by the best model of labels on
    test traces.

    Args:
        laws: the writer's law after each scored test sentence; NaN where undefined.
        loss_by_model: test losses.
        test: the traces.
        bootstrap: intervals by problem.
    """
    of_labels = {name: loss_by_model[Fit(None, name)] for name in OF_LABELS}
    best = min(of_labels, key=lambda name: of_labels[name].mean())
    problem = list(test.row_problem)
    lower = None
    if laws is not None:
        entropy = -(laws * np.log(np.where(laws > 0, laws, 1.0))).sum(axis=1)
        (lower,) = bootstrap.intervals(entropy, problem)
    (upper,) = bootstrap.intervals(of_labels[best], problem)
    return EntropyRate(lower, upper, best)
