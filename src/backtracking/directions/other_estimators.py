"""The directions that other work would use, estimated at the deciding token on train problems.

Positive rows are dead ends, negative ones live points. Signs are such that more of a direction
means a dead end, or the marker.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from backtracking.directions.vectors import difference_of_means
from backtracking.models.hooks import Site, reading
from backtracking.models.loading import LoadedModel
from backtracking.records.tokens import Question
from backtracking.statistics.auroc import auroc


def estimate(
    train: Float[Tensor, "rows d_model"],
    is_positive: Bool[Tensor, " rows"],
    dev: Float[Tensor, "dev_rows d_model"],
    dev_is_positive: Bool[Tensor, " dev_rows"],
    regularisations: Sequence[float],
    generator: torch.Generator,
) -> tuple[dict[str, Float[Tensor, " d_model"]], float]:
    """The directions that activations alone give, by name, and the C chosen for `logistic`."""
    weights, chosen = logistic(train, is_positive, dev, dev_is_positive, regularisations)
    return {
        "difference_of_means": difference_of_means(train[is_positive], train[~is_positive]),
        "logistic": weights,
        "whitened": whitened(train, is_positive),
        "pca": principal(train, is_positive, generator),
    }, chosen


def logistic(
    train: Float[Tensor, "rows d_model"],
    is_positive: Bool[Tensor, " rows"],
    dev: Float[Tensor, "dev_rows d_model"],
    dev_is_positive: Bool[Tensor, " dev_rows"],
    regularisations: Sequence[float],
) -> tuple[Float[Tensor, " d_model"], float]:
    """Weights of an L2 logistic regression on standardised rows, and the C with the best dev AUROC.

    In the coordinates of the residual stream. Of equal AUROCs the strongest penalty is taken.
    """
    x, y = train.double().numpy(), is_positive.numpy()
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-12)
    best = (-np.inf, 0.0, np.zeros(x.shape[1]))
    for c in sorted(regularisations):
        fitted = LogisticRegression(C=c, max_iter=2000).fit((x - mean) / scale, y)
        weights = fitted.coef_[0] / scale
        score = auroc(dev.double().numpy() @ weights, dev_is_positive.numpy())
        if score is not None and score > best[0]:
            best = (score, c, weights)
    return torch.from_numpy(best[2]), best[1]


def whitened(
    train: Float[Tensor, "rows d_model"], is_positive: Bool[Tensor, " rows"]
) -> Float[Tensor, " d_model"]:
    """Difference of means times the inverse of the covariance within the classes (LDA).

    The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf, 2004).
    """
    positive, negative = train[is_positive].double(), train[~is_positive].double()
    centred = torch.cat([positive - positive.mean(0), negative - negative.mean(0)])
    covariance = LedoitWolf(assume_centered=True).fit(centred.numpy()).covariance_
    delta = difference_of_means(positive, negative)
    return torch.linalg.solve(torch.from_numpy(covariance), delta)


def principal(
    train: Float[Tensor, "rows d_model"],
    is_positive: Bool[Tensor, " rows"],
    generator: torch.Generator,
) -> Float[Tensor, " d_model"]:
    """First principal component of differences within random pairs, a positive minus a negative.

    Not centred, as representation engineering has it (Zou et al., arXiv 2310.01405); its sign is
    that of the mean difference.
    """
    positive, negative = train[is_positive].double(), train[~is_positive].double()
    n = min(len(positive), len(negative))
    first, second = (
        rows[torch.randperm(len(rows), generator=generator)[:n]] for rows in (positive, negative)
    )
    differences = first - second
    component = torch.linalg.svd(differences, full_matrices=False).Vh[0]
    return component * torch.sign(differences.mean(0) @ component)


def gradients(
    loaded: LoadedModel,
    prefixes: Sequence[Sequence[int]],
    marker: Sequence[int],
    report: Question,
) -> dict[str, Float[Tensor, "layers d_model"]]:
    """Mean gradients of two readouts with respect to `resid_post` at the deciding token.

    By name: `gradient_a`, of the marker's log-odds; `gradient_b`, of the question's yes against its
    no.

    Args:
        loaded: the model.
        prefixes: token ids up to the deciding one.
        marker: first tokens of the word that opens backtracking.
        report: what is asked.
    """
    sums = {name: torch.zeros(loaded.n_layers, loaded.d_model) for name in ("a", "b")}
    embed = loaded.model.get_input_embeddings()
    sites = {layer: Site(block) for layer, block in enumerate(loaded.blocks)}
    for prefix in prefixes:
        ids = torch.tensor([[*prefix, *report.suffix_ids]], device=loaded.device)
        at = len(prefix) - 1
        resid_post: dict[int, Tensor] = {}
        # The weights take no gradients, so a graph begins at what they are applied to.
        embedded = embed(ids).detach().requires_grad_()
        with reading(sites, resid_post.__setitem__), sdpa_kernel(SDPBackend.MATH):
            logits = loaded.model(inputs_embeds=embedded, use_cache=False).logits[0].float()
        log_p = logits.log_softmax(dim=-1)
        log_marker = _any_of(log_p[at], marker)
        readouts = {
            "a": log_marker - torch.log1p(-log_marker.exp()),
            "b": _any_of(log_p[-1], report.yes.ids) - _any_of(log_p[-1], report.no.ids),
        }
        for name, value in readouts.items():
            found = torch.autograd.grad(
                value, list(resid_post.values()), retain_graph=True, materialize_grads=True
            )
            sums[name] += torch.stack([one[0, at] for one in found]).cpu()
    return {f"gradient_{name}": value / len(prefixes) for name, value in sums.items()}


def _any_of(log_p: Float[Tensor, " d_vocab"], ids: Sequence[int]) -> Float[Tensor, ""]:
    return log_p[list(ids)].logsumexp(dim=0)
