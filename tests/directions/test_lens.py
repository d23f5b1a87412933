"""The logit lens: a planted row comes first, and without the markers' rows none is written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import D_MODEL, WORDS, save_model
from torch import Tensor

from backtracking.directions import lens
from backtracking.directions.decoding import Reader, decode, decode_random, reader_of
from backtracking.directions.vectors import random_directions
from backtracking.models import loading
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records.directions import Direction, Directions
from backtracking.records.places import Place
from backtracking.records.tokens import TokenSet

MARKERS = ("Wait", "w3", "w20")
MARKER_IDS = [WORDS.index(word) for word in MARKERS]
ALONE = [[token] for token in MARKER_IDS]
SETS = tuple(TokenSet(word, (WORDS.index(word),), (word,)) for word in MARKERS)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random model whose final norm has a gain of its own in every component."""
    folder: Path = save_model(tmp_path_factory.mktemp("model"))
    found = loading.load(folder)
    gain = torch.linspace(0.2, 2.0, D_MODEL)
    with torch.no_grad():
        found.final_norm.weight.copy_(gain)  # type: ignore[operator, union-attr]
    return found


@pytest.fixture(scope="module")
def vectors() -> Tensor:
    return random_directions(12, D_MODEL, torch.Generator().manual_seed(3))


def test_a_markers_own_row_ranks_it_first_and_its_negative_last(loaded: LoadedModel) -> None:
    rows = unembedding(loaded)[MARKER_IDS] / unembedding(loaded)[MARKER_IDS].norm(dim=1)[:, None]
    w_u = unembedding(loaded) / unembedding(loaded).norm(dim=1)[:, None]
    for sign, rank, percentile in ((1, 1, 1), (-1, len(WORDS), 0)):
        logits = lens.decode(sign * rows, w_u)
        assert lens.ranks(logits, ALONE).diagonal().tolist() == [rank] * 3
        assert lens.rank_percentiles(logits, ALONE).diagonal().tolist() == [percentile] * 3


def test_logits_are_what_the_model_adds_for_a_direction_up_to_the_norms_factor(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    """A stream that is the direction alone: the norm divides it by its root mean square."""
    with torch.inference_mode():
        stream = vectors.float()
        expected = loaded.final_norm(stream) @ unembedding(loaded).T
    size = stream.square().mean(dim=1, keepdim=True).sqrt()
    found = lens.decode(vectors, unembedding(loaded), final_norm_gain(loaded)) / size
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-4)


def test_nothing_depends_on_a_directions_norm(loaded: LoadedModel, vectors: Tensor) -> None:
    one, other = (lens.decode(vectors * factor, unembedding(loaded)) for factor in (1, 37.5))
    assert torch.equal(lens.ranks(one, ALONE), lens.ranks(other, ALONE))
    torch.testing.assert_close(lens.z_scores(one, ALONE), lens.z_scores(other, ALONE))


def test_ties_share_their_mean_rank_and_equal_logits_are_no_deviations() -> None:
    logits = torch.tensor([[3.0, 1.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
    assert lens.ranks(logits, [[0], [1], [3]]).tolist() == [[1.5, 3, 4], [2.5, 2.5, 2.5]]
    assert lens.z_scores(logits, [[0], [1]]).tolist()[1] == [0, 0]
    highest, lowest = lens.extremes(logits, 2)
    assert (highest.tolist(), lowest.tolist()) == ([[0, 2], [0, 1]], [[3, 1], [3, 2]])
    assert lens.extremes(logits, 10)[0].shape == (2, 4)


def test_z_scores_are_numpys(loaded: LoadedModel, vectors: Tensor) -> None:
    logits = lens.decode(vectors, unembedding(loaded))
    table = logits.numpy()
    expected = (table - table.mean(1, keepdims=True)) / table.std(1, keepdims=True)
    np.testing.assert_allclose(lens.z_scores(logits, ALONE), expected[:, MARKER_IDS])


def test_without_the_markers_rows_a_direction_adds_nothing_to_their_logits(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    w_u, gain = unembedding(loaded), final_norm_gain(loaded)
    bare = lens.without_markers(vectors, w_u, gain, MARKER_IDS)
    assert lens.decode(vectors, w_u, gain)[:, MARKER_IDS].abs().min() > 1e-4
    assert lens.decode(bare, w_u, gain)[:, MARKER_IDS].abs().max() < 1e-12
    again = lens.without_markers(bare, w_u, gain, MARKER_IDS)
    torch.testing.assert_close(again, bare)
    removed = vectors - bare
    torch.testing.assert_close((removed * bare).sum(1), torch.zeros(len(bare)).double())


def test_equal_rows_of_two_markers_span_one_dimension(loaded: LoadedModel) -> None:
    w_u, gain = unembedding(loaded).clone(), final_norm_gain(loaded)
    w_u[MARKER_IDS[1]] = w_u[MARKER_IDS[0]]
    inside = gain.double() * w_u[MARKER_IDS[:2]].double()
    outside = lens.without_markers(torch.eye(D_MODEL).double(), w_u, gain, MARKER_IDS[:2])
    assert torch.linalg.matrix_rank(outside) == D_MODEL - 1
    left = lens.without_markers(inside, w_u, gain, MARKER_IDS[:2])
    assert left.abs().max() < 1e-12


def test_of_a_markers_spellings_the_highest_counts() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]], dtype=torch.float64)
    assert lens.ranks(logits, [[1, 2], [3], [0, 3]]).tolist() == [[2, 4, 1]]
    both, higher = (lens.z_scores(logits, one) for one in ([[1, 2]], [[2]]))
    assert torch.equal(both, higher)
    assert lens.ranks(logits, []).shape == (1, 0)


def read(reader: Reader, vectors: Tensor) -> list[list]:
    """The three readings of directions, each by direction."""
    placed = [Direction(Place("base", "matched", (n, n), 1), v) for n, v in enumerate(vectors)]
    found = decode(reader, Directions(tuple(placed)), 5)
    return [found[at : at + len(vectors)] for at in range(0, len(found), len(vectors))]


def test_a_planted_marker_comes_first_and_is_gone_without_its_row(loaded: LoadedModel) -> None:
    reader = reader_of("reasoning", loaded, SETS)
    planted = (unembedding(loaded)[MARKER_IDS[0]] / final_norm_gain(loaded))[None]
    (behind, _), (raw, _), (bare, other) = read(
        reader, torch.cat([planted, torch.eye(D_MODEL)[:1]])
    )
    assert [(one.variant, one.final_norm) for one in (behind, raw, bare)] == [
        ("whole", True), ("whole", False), ("without_markers", True),
    ]  # fmt: skip
    assert behind.place == Place("base", "matched", (0, 0), 1)
    assert (behind.ranks[0].marker, behind.ranks[0].rank) == ("Wait", 1)
    assert behind.highest[0] == "Wait" and len(behind.lowest) == 5 and behind.cosine == 1
    assert bare.ranks[0].rank > 1 and 0 < bare.cosine < 1
    for one in (bare, other):
        assert len({rank.rank for rank in one.ranks}) == 1, "no marker stands above another"


def test_without_markers_a_direction_is_read_whole(loaded: LoadedModel, vectors: Tensor) -> None:
    behind, raw = read(reader_of("reasoning", loaded, ()), vectors)
    assert all(one.ranks == () and len(one.highest) == 5 for one in (*behind, *raw))
    assert decode_random(reader_of("reasoning", loaded, ()), vectors) == []


def test_random_directions_spread_over_all_places(loaded: LoadedModel) -> None:
    reader = reader_of("reasoning", loaded, SETS)
    randoms = random_directions(999, D_MODEL, torch.Generator().manual_seed(1))
    found = decode_random(reader, randoms)
    assert [(one.final_norm, one.marker) for one in found] == [
        (final_norm, marker) for final_norm in (True, False) for marker in MARKERS
    ]
    for one in found:
        assert len(one.percentiles) == 999 and one.unembedding == "reasoning"
        assert abs(float(np.mean(one.percentiles)) - 0.5) < 0.06
