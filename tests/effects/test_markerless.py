"""Steering without the word: a direction that only writes it loses all, another keeps its effect.

In the planted model a second block reads one component of the stream and raises the marker.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import FULL_STOP, WORDS, save_model

from backtracking.directions import lens
from backtracking.effects.markerless import WITHOUT, Read, compare, judge, measure, variants
from backtracking.effects.rates import Label, Measured, effect_of
from backtracking.models import loading
from backtracking.models.forced import Prefix
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)
MARKER = WORDS.index("Wait")
RANDOM = tuple(np.linspace(-0.07, 0.07, 39).tolist())
LAYER, NORM = 0, 6.0


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random model; its last MLP reads the direction `state` and writes the marker's row."""
    torch.set_num_threads(1)
    found = loading.load(save_model(tmp_path_factory.mktemp("model")))
    row = unembedding(found)[MARKER]
    state = lens.without_markers(
        torch.ones(1, len(row)), unembedding(found), final_norm_gain(found), [MARKER]
    )[0].float()
    mlp = found.blocks[2].mlp
    with torch.no_grad():
        for block in found.blocks:
            for weights in block.parameters():
                if weights.ndim == 2:
                    weights.mul_(0.05)
        mlp.gate_proj.weight[0] = 2 * state / state.norm()  # type: ignore[index]
        mlp.up_proj.weight[0] = 2 * state / state.norm()  # type: ignore[index]
        mlp.down_proj.weight[:, 0] = 0.2 * row / row.norm()  # type: ignore[index]
    return found


@pytest.fixture(scope="module")
def measured(loaded: LoadedModel) -> tuple[Measured, dict[str, float]]:
    """Live decisions of several problems, steered along what is read, the word itself, both."""
    generator = torch.Generator().manual_seed(0)
    prefixes = []
    for _ in range(8):
        ids = torch.randint(6, len(WORDS), (14,), generator=generator).tolist()
        ids[5] = ids[11] = FULL_STOP
        prefixes.append(Prefix([1, *ids], 3, [6, 12]))
    row = (unembedding(loaded)[MARKER] * final_norm_gain(loaded)).detach()
    read = loaded.blocks[2].mlp.gate_proj.weight[0].detach()  # type: ignore[index]
    vectors = {"state": read, "word": row, "both": read / read.norm() + row / row.norm()}
    units = variants(loaded, vectors, [MARKER])
    cosines = {n: float(units[n] @ units[n + WITHOUT]) for n in ("state", "both")}
    problems = [f"p{number // 2}" for number in range(8)]
    where = Read(
        prefixes,
        problems,
        np.full(16, "alive", dtype=object),
        np.repeat(problems, 2).astype(object),
    )
    return measure("reasoning", loaded, LAYER, NORM, where, units, [MARKER], 64), cosines


def test_what_is_read_downstream_steers_without_the_word(
    measured: tuple[Measured, dict[str, float]],
) -> None:
    rows = {row["direction"]: row for row in compare(*measured, RANDOM, BOOTSTRAP)}
    assert rows["state"]["cosine"] == pytest.approx(1, abs=1e-5)
    assert rows["state"]["retained"]["value"] == pytest.approx(1, abs=1e-3)
    assert rows["both"]["cosine"] == pytest.approx(0.5**0.5, abs=1e-4)
    assert rows["both"]["original"]["low"] > rows["both"]["random95"]
    assert rows["both"]["n_random"] == 39 and rows["both"]["p_projected"] == 1 / 40
    difference = rows["both"]["projected"]["value"] - rows["both"]["original"]["value"]
    assert rows["both"]["difference"]["value"] == pytest.approx(difference)
    assert judge(measured[0], "both", RANDOM, BOOTSTRAP)["verdict"] == "holds"


def test_a_direction_that_is_the_word_alone_has_nothing_left(
    measured: tuple[Measured, dict[str, float]],
) -> None:
    one = measured[0]
    whole = effect_of(one, Label("word", 1.0, "decision"), "alive", BOOTSTRAP, RANDOM)
    assert whole.exceeds_random() == "holds"
    left = effect_of(one, Label("word" + WITHOUT, 1.0, "decision"), "alive", BOOTSTRAP, RANDOM)
    assert left.interval.value == pytest.approx(0, abs=1e-6)
    row = judge(one, "word", RANDOM, BOOTSTRAP)
    assert row["parts"] == {"whole_steers": "holds", "projected_steers": "fails"}
    assert row["verdict"] == "fails"


def test_a_rest_that_steers_holds_though_the_whole_does_not_and_where_neither_does_is_no_test(
    measured: tuple[Measured, dict[str, float]],
) -> None:
    row = judge(muted(measured[0], ["state"]), "state", RANDOM, BOOTSTRAP)
    assert row["parts"] == {"whole_steers": "fails", "projected_steers": "holds"}
    assert row["verdict"] == "holds"
    both = muted(measured[0], ["state", "state" + WITHOUT])
    assert judge(both, "state", RANDOM, BOOTSTRAP)["verdict"] == "untestable"
    state, _ = compare(both, measured[1], RANDOM, BOOTSTRAP)
    assert state["retained"] is None


def muted(measured: Measured, directions: list[str]) -> Measured:
    """The same runs, in which these directions do nothing."""
    p = measured.forced.p_marked.copy()
    for name in directions:
        p[measured.labels.index(Label(name, 1.0, "decision"))] = p[0]
    return replace(measured, forced=replace(measured.forced, p_marked=p))
