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
from backtracking.statistics.auroc import auroc


def estimate(
    train: Float[Tensor, "rows d_model"],
    is_positive: Bool[Tensor, " rows"],
    dev: Float[Tensor, "dev_rows d_model"],
    dev_is_positive: Bool[Tensor, " dev_rows"],
    regularisations: Sequence[float],
) -> tuple[dict[str, Float[Tensor, " d_model"]], float]:
    """The directions that activations alone give, by name, and the C chosen for `logistic`."""
    weights, chosen = logistic(train, is_positive, dev, dev_is_positive, regularisations)
    return {
        "difference_of_means": difference_of_means(train[is_positive], train[~is_positive]),
        "lda": discriminant(train, is_positive),
        "logistic": weights,
        "leace": leace(train, is_positive),
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


def discriminant(
    train: Float[Tensor, "rows d_model"], is_positive: Bool[Tensor, " rows"]
) -> Float[Tensor, " d_model"]:
    """Difference of means times the inverse of the covariance within the classes.

    The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf, 2004).
    """
    positive, negative = train[is_positive].double(), train[~is_positive].double()
    centred = torch.cat([positive - positive.mean(0), negative - negative.mean(0)])
    covariance = LedoitWolf(assume_centered=True).fit(centred.numpy()).covariance_
    delta = difference_of_means(positive, negative)
    return torch.linalg.solve(torch.from_numpy(covariance), delta)


def leace(
    train: Float[Tensor, "rows d_model"], is_positive: Bool[Tensor, " rows"]
) -> Float[Tensor, " d_model"]:
    """Where LEACE reads the class: the whitened difference of means, in the rows' coordinates.

    Of all affine maps after which no linear probe tells the classes, LEACE moves rows the least
    (Belrose et al., arXiv 2306.03819): x - W^+ P W (x - mean), with W = Sigma^(-1/2) of all rows
    and P the projection on W delta. For two classes that is x - delta r.(x - mean) / (r.delta) with
    r = Sigma^+ delta. It writes along the difference of means delta, which has its own row; r is
    what stands here. Without shrinkage, r is the discriminant's line.
    """
    rows = train.double()
    covariance = torch.cov(rows.T, correction=0)
    return torch.linalg.pinv(covariance, hermitian=True) @ difference_of_means(
        rows[is_positive], rows[~is_positive]
    )


def gradient(
    loaded: LoadedModel, prefixes: Sequence[Sequence[int]], marker: Sequence[int]
) -> Float[Tensor, "layers d_model"]:
    """Mean gradient of the marker's log-odds with respect to `resid_post` at the deciding token.

    Args:
        loaded: the model.
        prefixes: token ids up to the deciding one.
        marker: first tokens of the word that opens backtracking.
    """
    total = torch.zeros(loaded.n_layers, loaded.d_model)
    embed = loaded.model.get_input_embeddings()
    sites = {layer: Site(block) for layer, block in enumerate(loaded.blocks)}
    for prefix in prefixes:
        ids = torch.tensor([list(prefix)], device=loaded.device)
        resid_post: dict[int, Tensor] = {}
        # The weights take no gradients, so a graph begins at what they are applied to.
        embedded = embed(ids).detach().requires_grad_()
        with reading(sites, resid_post.__setitem__), sdpa_kernel(SDPBackend.MATH):
            logits = loaded.model(inputs_embeds=embedded, use_cache=False).logits[0, -1].float()
        log_marker = logits.log_softmax(dim=-1)[list(marker)].logsumexp(dim=0)
        log_odds = log_marker - torch.log1p(-log_marker.exp())
        found = torch.autograd.grad(log_odds, list(resid_post.values()))
        total += torch.stack([one[0, -1] for one in found]).cpu()
    return total / len(prefixes)
