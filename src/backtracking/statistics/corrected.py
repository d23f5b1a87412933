"""Norms and cosines of estimated directions, corrected for noise by halves of the problems."""

import numpy as np
from jaxtyping import Bool, Float


def split_halves(
    n_problems: int, n_splits: int, rng: np.random.Generator
) -> Bool[np.ndarray, "n_splits n_problems"]:
    """Random splits of the problems into disjoint halves: True for the first, False for the second.

    Of fewer than two problems a half is empty, and what rests on both is undefined.
    """
    ordered = np.tile(np.arange(n_problems) < n_problems // 2, (n_splits, 1))
    return rng.permuted(ordered, axis=1)


def split_half_cosine(halves: Float[np.ndarray, "n_splits 2 d_model"]) -> float | None:
    """Cosine of the two half estimates: the split-half reliability, with averaged products."""
    a, b = halves[:, 0], halves[:, 1]
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return or_none(ratio(_dot(a, b).mean(keepdims=True), norms.mean(keepdims=True))[0])


def noise_corrected_norm(halves: Float[np.ndarray, "n_splits 2 d_model"]) -> float | None:
    """Norm of the true direction, from products of disjoint halves; None if these do not add up.

    E[a1 . a2] = |a|^2 where the halves' noise is independent; |mean|^2 is too large by the noise.
    Products are averaged over the splits before the root is taken.
    """
    return or_none(noise_corrected_norms(halves[None])[0])


def noise_corrected_norms(
    halves: Float[np.ndarray, "n n_splits 2 d_model"],
) -> Float[np.ndarray, " n"]:
    """`noise_corrected_norm` of n sets of halves, as for bootstrap replicates; NaN undefined."""
    return _root(_dot(halves[:, :, 0], halves[:, :, 1]).mean(axis=1))


def noise_corrected_cosine(
    first: Float[np.ndarray, "n_splits 2 d_model"], second: Float[np.ndarray, "n_splits 2 d_model"]
) -> float | None:
    """Cosine of two true directions; None where the reliability of either is not positive.

    The cosine between disjoint halves over the square root of the two split-half reliabilities,
    (a1 . b2 + a2 . b1) / 2 / sqrt(a1 . a2 * b1 . b2), with each product averaged over the splits.
    Not clipped: an estimate may lie above 1.

    Args:
        first: half estimates of the one direction.
        second: half estimates of the other, from the same splits of the same problems, since noise
            that both share would otherwise count as agreement.
    """
    return or_none(noise_corrected_cosines(first[None], second[None])[0])


def noise_corrected_cosines(
    first: Float[np.ndarray, "n n_splits 2 d_model"],
    second: Float[np.ndarray, "n n_splits 2 d_model"],
) -> Float[np.ndarray, " n"]:
    """`noise_corrected_cosine` of n pairs, as for bootstrap replicates; NaN undefined."""
    across = _dot(first, second[:, :, ::-1]).mean(axis=(1, 2))
    norms = noise_corrected_norms(first) * noise_corrected_norms(second)
    return ratio(across, norms)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...d,...d->...", a, b)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _root(square: np.ndarray) -> np.ndarray:
    return np.sqrt(square, out=np.full_like(square, np.nan), where=square > 0)


def or_none(value: float | np.floating | np.ndarray) -> float | None:
    """A value as it stands in results: None where it is undefined."""
    return float(value) if np.isfinite(value) else None
