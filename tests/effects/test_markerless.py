"""Steering without the word: a direction that only writes it loses all, another keeps its effect.

In the planted model a second block reads one component of the stream and raises the marker.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_runs import decisions_of, numbers
from tiny_models import FULL_STOP, WORDS, save_model

from backtracking.directions import lens
from backtracking.effects.markerless import compare, judge, whole_and_projected
from backtracking.effects.rates import effect_of
from backtracking.effects.seen import Case, Seen
from backtracking.interventions.along import Along, without_markers
from backtracking.interventions.arms import arms_at
from backtracking.interventions.measure import Sizes, force
from backtracking.interventions.plan import Read, Words
from backtracking.models import loading
from backtracking.models.endpoints import Counted
from backtracking.models.forced import Prefix
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records.choices import Choice
from backtracking.records.measured import MATCHED, P_BACK, P_OPEN, Arm, Array, Measured
from backtracking.records.places import Place
from backtracking.records.tokens import Opener, TokenSet
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)
MARKER = WORDS.index("Wait")
RANDOM = np.linspace(-0.07, 0.07, 39)
CHOICE = Choice("reasoning", "base", 0, (0, 0), 6.0)
ALIVE = Case("alive", "kind", ("alive",))


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
def seen(loaded: LoadedModel) -> Seen:
    """Live decisions of several problems, steered along what is read, the word itself, both.

    The random directions' effects are planted.
    """
    generator = torch.Generator().manual_seed(0)
    prefixes = []
    for _ in range(8):
        ids = torch.randint(6, len(WORDS), (14,), generator=generator).tolist()
        ids[5] = ids[11] = FULL_STOP
        prefixes.append(Prefix([1, *ids], 3, [6, 12]))
    row = (unembedding(loaded)[MARKER] * final_norm_gain(loaded)).detach()
    read = loaded.blocks[2].mlp.gate_proj.weight[0].detach()  # type: ignore[index]
    vectors = {"state": read, "word": row, "both": read / read.norm() + row / row.norm()}
    whole = [
        Along(name, MATCHED, vector / vector.norm(), Place(name, "matched", (0, 0), 0))
        for name, vector in vectors.items()
    ]
    both = [*whole, *without_markers(loaded, whole, [MARKER])]
    decisions = decisions_of(["alive"] * 16, [f"p{number // 4}" for number in range(16)])
    trace_ids = tuple(f"{n}" for n in range(8))
    where = Read(tuple(prefixes), trace_ids, tuple(decisions.ids), (1,) * 16)
    openers = (Opener(TokenSet("Wait", (MARKER,), ("Wait",))),)
    words = Words(Counted(openers, ()), (MARKER,))
    arms = arms_at(CHOICE.layer, CHOICE.norm, both, (1.0,))
    found = force(loaded, "reasoning", "test", 0, where, arms, words, Sizes(64, 64, 40))
    return Seen(_with_null(found), decisions, tuple(f"p{n // 2}" for n in range(8)))


def _with_null(found: Measured) -> Measured:
    p = found.values(P_OPEN)
    more = found.with_only([0] * len(RANDOM))
    named = tuple(Arm(f"random_{k}", "random", 1.0, layer=0) for k in range(len(RANDOM)))
    arrays = dict(more.arrays) | {P_OPEN: Array("decisions", p[0] + RANDOM[:, None])}
    return found.with_arms_of(replace(more, arms=named, arrays=arrays))


def arms_of(seen: Seen, name: str) -> tuple[Arm, Arm]:
    """A direction's arm and its arm without markers."""
    return next(pair for pair in whole_and_projected(seen) if pair[0].name == name)


def test_what_is_read_downstream_steers_without_the_word(seen: Seen) -> None:
    rows = {row.direction: row for row in compare(seen, ALIVE, BOOTSTRAP)}
    assert rows["state"].cosine == pytest.approx(1, abs=1e-5)
    assert rows["state"].retained is not None
    assert rows["state"].retained.value == pytest.approx(1, abs=1e-3)
    assert rows["both"].cosine == pytest.approx(0.5**0.5, abs=1e-4)
    both = rows["both"]
    (original, low, _), (projected, *_) = numbers(both.original), numbers(both.projected)
    assert both.random95 is not None and low > both.random95
    assert both.n_random == 39 and both.p_projected == 1 / 40
    assert both.difference.value == pytest.approx(projected - original)
    assert judge(seen, *arms_of(seen, "both"), ALIVE, BOOTSTRAP).finding.verdict == "holds"


def test_a_direction_that_is_the_word_alone_has_nothing_left(seen: Seen) -> None:
    whole, rest = arms_of(seen, "word")
    assert rest.name == "word without markers"
    assert effect_of(seen, whole, ALIVE, BOOTSTRAP).verdict == "holds"
    left = effect_of(seen, rest, ALIVE, BOOTSTRAP)
    assert left.interval.value == pytest.approx(0, abs=1e-6)
    row = judge(seen, whole, rest, ALIVE, BOOTSTRAP)
    assert row.finding.parts == {"whole_steers": "holds", "projected_steers": "fails"}
    assert row.finding.verdict == "fails"


def test_a_rest_that_steers_holds_though_the_whole_does_not_and_where_neither_does_is_no_test(
    seen: Seen,
) -> None:
    pair = arms_of(seen, "state")
    row = judge(muted(seen, pair[:1]), *pair, ALIVE, BOOTSTRAP)
    assert row.finding.parts == {"whole_steers": "fails", "projected_steers": "holds"}
    assert row.finding.verdict == "holds"
    both = muted(seen, pair)
    assert judge(both, *pair, ALIVE, BOOTSTRAP).finding.verdict == "no test"
    assert compare(both, ALIVE, BOOTSTRAP)[0].retained is None


def muted(seen: Seen, arms: Sequence[Arm]) -> Seen:
    """The same runs, in which these arms do nothing."""
    arrays = dict(seen.measured.arrays)
    for name in (P_OPEN, P_BACK):
        p = seen.measured.values(name).copy()
        for arm in arms:
            p[seen.measured.row(arm)] = p[0]
        arrays[name] = Array("decisions", p)
    return replace(seen, measured=replace(seen.measured, arrays=arrays))
