"""The stage on planted activations: what was planted is found, selected and told from noise."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from manifests import MANIFEST

from backtracking.activations.reader import ActivationStore
from backtracking.directions.events import Followed, event_decisions
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.directions import Directions
from backtracking.records.events import Event
from backtracking.records.places import CONTROLS, Place
from backtracking.records.rows.table import first
from backtracking.records.sentences import Action, Decision, Kind, Sentence, Truth
from backtracking.records.traces import Trace
from backtracking.runtime.workspace import Role, Roles
from backtracking.stages.directions import Params, Readout, Result, Untrained, run

D_MODEL, N, N_NULL = 16, 900, 9
HERE, EARLIER = (0, 0), (-3, -3)
PARAMS = Params((HERE, EARLIER), (-3, -1), 3, 8, N_NULL, (), 0)
MARKERS = torch.eye(D_MODEL)[[3, 7]]
KINDS = (Kind("dead", "dead", True), Kind("live", "live", False))
AT_DECISIONS = ("matched", "unmarked", "keyword", "stable")
BY_KIND = Classes("kind", ("dead",), ("live",), ("value",))
BY_ACTION = Classes("action", ("turns",), ("goes on",), ("position",))
ROLES = Roles({"base": Role("data", None, None), "reasoning": Role("data", "base", None)})


class Planted(ActivationStore):
    """A store with `truth` times `size` at the deciding tokens of the positive class."""

    def __init__(
        self, decisions: Decisions, is_positive: np.ndarray, truth: torch.Tensor,
        size: dict[int, float],
    ) -> None:  # fmt: skip
        self.truth, self.size = truth, size
        self.manifest = replace(MANIFEST, d_model=D_MODEL)
        self.is_positive = is_positive
        self.value = np.nan_to_num(decisions.value)
        places = zip(decisions.trace.tolist(), decisions.position.tolist(), strict=True)
        self.row_by_place = {place: row for row, place in enumerate(places)}

    def has(self, trace: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Every token is stored."""
        return position >= 0

    def gather(self, layer: int, trace: np.ndarray, position: np.ndarray) -> torch.Tensor:
        """Noise by place, a slope along the value, and the planted direction."""
        generator = torch.Generator().manual_seed(layer)
        table = torch.randn(N + 1, D_MODEL, generator=generator)
        places = zip(trace.tolist(), position.tolist(), strict=True)
        rows = [self.row_by_place.get(place, N) for place in places]
        values = table[rows].clone()
        for number, row in enumerate(rows):
            if row < N:
                values[number] += self.size[layer] * float(self.is_positive[row]) * self.truth
                values[number, 0] += 0.3 * float(self.value[row])
        return values


def records(dead: np.ndarray, value: np.ndarray, is_known: bool) -> tuple[Sentences, Decisions]:
    """Six sentences a trace, each of which decides; whether the truth of it is known."""
    traces: list[Trace] = []
    sentences: list[Sentence] = []
    decisions: list[Decision] = []
    for n in range(N // 6):
        name, split = f"p{n:03d}", "train" if n % 3 else "dev"
        traces.append(Trace(f"{name}/0", name, split, 0, [0] * 10, [0] * 60, "", "stop", {}))
        for index in range(6):
            row, start = 6 * n + index, 10 + 10 * index
            truth = Truth(kind="dead" if dead[row] else "live", value=float(value[row]))
            action: Action = "turns" if dead[row] else "goes on"
            state = "backtracking" if dead[row] else "deduction"
            where = (f"{name}/0", name, split, index, start)
            known = truth if is_known else None
            sentences.append(
                Sentence(f"{name}/0", index, start, start + 5, "", True, {"rules": state}, known)
            )
            decisions.append(Decision(*where, start + 4, state, action, known))
    kinds: Sequence[Kind] = KINDS if is_known else ()
    return (
        Sentences.gather(sentences, traces, kinds, "rules"),
        Decisions.gather(decisions, traces, kinds),
    )


def draw() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which decisions are dead ends, the likelier the higher their value, and which have a word."""
    random = np.random.default_rng(0)
    value = random.integers(0, 20, N)
    dead = random.random(N) < 0.2 + 0.03 * value
    return dead, value, dead | (random.random(N) < 0.2)


def events_at(decisions: Decisions, dead: np.ndarray, keyword: np.ndarray) -> list[Event]:
    """Dead ends, which come back at 6 of 8, and some others, which never do, as keyword events."""
    chosen = keyword & (decisions.split == "train")
    return [
        Event(
            "reasoning", str(decisions.trace_id[row]), str(decisions.problem[row]),
            int(decisions.position[row]), str(decisions.kind[row]), True, bool(dead[row]), 8, 8,
            6 * int(dead[row]),
        )
        for row in np.flatnonzero(chosen).tolist()
    ]  # fmt: skip


def stores(decisions: Decisions, dead: np.ndarray) -> dict[str, ActivationStore]:
    """A pair whose true cosine is 0.6, strongest at layer 1."""
    own, second = torch.zeros(2, D_MODEL)
    own[3] = 1.0
    second[3], second[4] = 0.6, 0.8
    size = {0: 0.3, 1: 3.0}
    return {
        "base": Planted(decisions, dead, own, size),
        "reasoning": Planted(decisions, dead, second, size),
    }


@pytest.fixture(scope="module")
def result() -> Result:
    """All forms of the planted pair."""
    dead, value, keyword = draw()
    sentences, decisions = records(dead, value, is_known=True)
    readouts = {role: Readout(torch.ones(D_MODEL), MARKERS) for role in ROLES.all}
    return run(
        PARAMS, ROLES, BY_KIND, sentences, decisions, stores(decisions, dead), readouts,
        events_at(decisions, dead, keyword),
    )  # fmt: skip


def vector(result: Result, place: Place) -> torch.Tensor:
    return Directions(tuple(result.directions)).get(place)


def test_the_planted_direction_is_found_without_the_slope_of_the_running_total(
    result: Result,
) -> None:
    found = vector(result, Place("base", "matched", HERE, 1))
    truth = torch.zeros(D_MODEL)
    truth[3] = 1.0
    assert torch.cosine_similarity(found, truth, dim=0) > 0.97
    assert found.norm() == pytest.approx(3.0, abs=0.4)


def test_selection_takes_the_layer_and_window_where_dev_problems_are_told_apart(
    result: Result,
) -> None:
    for role in ("base", "reasoning"):
        best = result.selection[role]
        assert (best.layer, best.window) == (1, "0:0") and best.dev_auroc > 0.9


def test_the_corrected_cosine_of_the_pair_is_the_planted_one(result: Result) -> None:
    row = first(result.cosines, form="matched", window="0:0", layer=1)
    assert row and row.pair == "base-reasoning"
    found = row.likeness
    assert found.low and found.high and found.low < 0.6 < found.high
    assert found.cosine == pytest.approx(0.6, abs=0.12)
    assert found.n == 100


def test_every_form_layer_and_window_has_its_row_and_its_direction(result: Result) -> None:
    windows = {(form, window) for form in AT_DECISIONS for window in (HERE, EARLIER)}
    windows |= {("ward", (-3, -1)), ("venhoff", (-1, 10))}
    expected = {
        Place(role, form, window, layer)
        for role in ROLES.all
        for form, window in windows
        for layer in (0, 1)
    }
    expected |= {Place("reasoning", "state", (-1, 10), layer, "deduction") for layer in (0, 1)}
    told = [(row.role, row.form, row.window, row.layer, row.state) for row in result.rows]
    wanted = {(one.role, one.form, one.window_text, one.layer, one.state) for one in expected}
    assert set(told) == wanted and len(told) == len(wanted)
    expected |= {
        Place("reasoning", "null", window, layer, number=number)
        for number in range(N_NULL)
        for window in (HERE, EARLIER)
        for layer in (0, 1)
    }
    expected |= {Place("reasoning", "mean", (-1, 10), layer) for layer in (0, 1)}
    expected |= {Place(role, "action") for role in ROLES.all}
    assert {one.place for one in result.directions} == expected
    assert len(result.directions) == len(expected)


def test_without_truth_words_and_events_the_actions_are_contrasted() -> None:
    dead, value, _ = draw()
    sentences, decisions = records(dead, value, is_known=False)
    readouts = {role: Readout(None, torch.zeros(0, D_MODEL)) for role in ROLES.all}
    found = run(PARAMS, ROLES, BY_ACTION, sentences, decisions, stores(decisions, dead), readouts)
    assert {one.place.form for one in found.directions} == {
        "matched", "ward", "venhoff", "state", "null", "mean",
    }  # fmt: skip
    truth = torch.eye(D_MODEL)[3]
    planted = vector(found, Place("base", "matched", HERE, 1))
    assert torch.cosine_similarity(planted, truth, dim=0) > 0.97
    assert found.selection["reasoning"].layer == 1 and found.forms


def test_where_nothing_ever_turns_there_is_no_direction_and_no_row() -> None:
    none = np.zeros(N, dtype=bool)
    sentences, decisions = records(none, np.zeros(N), is_known=False)
    readouts = {role: Readout(None, MARKERS) for role in ROLES.all}
    found = run(PARAMS, ROLES, BY_ACTION, sentences, decisions, stores(decisions, none), readouts)
    assert found.rows == found.cosines == found.directions == [] and found.selection == {}


def test_without_the_markers_rows_nothing_of_the_direction_reaches_their_logits(
    result: Result,
) -> None:
    found = vector(result, Place("reasoning", "unmarked", HERE, 1))
    matched = vector(result, Place("reasoning", "matched", HERE, 1))
    assert (MARKERS @ found).abs().max() < 1e-6 < (MARKERS @ matched).abs().max()
    kept = [axis for axis in range(D_MODEL) if axis not in (3, 7)]
    torch.testing.assert_close(found[kept], matched[kept])
    row = first(result.forms, role="reasoning", form="unmarked", window="0:0", layer=1)
    assert row
    assert row.likeness.raw == pytest.approx(float(found.norm() / matched.norm()), abs=1e-5)


def test_stable_events_give_a_stronger_direction_that_is_nearer_to_the_planted_one(
    result: Result,
) -> None:
    forms = ("matched", "keyword", "stable")
    matched, keyword, stable = (vector(result, Place("base", form, HERE, 1)) for form in forms)
    assert keyword.norm() < 0.85 * stable.norm()
    assert stable.norm() == pytest.approx(float(matched.norm()), rel=0.1)
    where = {"role": "base", "form": "stable", "window": "0:0", "layer": 1}
    row = first(result.forms, other_form="matched", **where)
    assert row and row.nearer and row.nearer.high and row.nearer.high > 0
    low, high, cosine = row.likeness.low, row.likeness.high, row.likeness.cosine
    assert low and high and (low < 1 < high or cosine == pytest.approx(1, abs=0.02))


def test_planted_norms_lie_beyond_those_of_shuffled_labels(result: Result) -> None:
    for row in result.rows:
        if (row.form, row.window, row.layer) == ("matched", "0:0", 1):
            assert row.norm_low and row.norm_high and row.norm_low < 3.0 < row.norm_high
            assert row.norm_null and row.norm_null < 1.5 and row.norm_p == 1 / (1 + N_NULL)
        if (row.form, row.window) == ("matched", "-3:-3"):
            assert row.norm_p is None or row.norm_p > 1 / (1 + N_NULL)


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="first <= last"):
        Params(((0, -3),), (-3, -1), 3, 8, 9, (), 0)


def with_controls(*controls: str) -> tuple[Result, dict[str, torch.Tensor]]:
    """Planted before sentences that only open, before one state, and over permuted traces."""
    dead, value, _ = draw()
    sentences, decisions = records(dead, value, is_known=True)
    random = np.random.default_rng(1)
    states = np.array(["deduction", "backtracking", "example-testing"], dtype=object)
    state = random.choice(states, N)
    opens = (random.random(N) < 0.3) & (state != "backtracking")
    truth = {"word": torch.eye(D_MODEL)[5], "permuted": torch.eye(D_MODEL)[6]}
    size = {0: 3.0, 1: 3.0}
    stores = {role: Planted(decisions, opens, truth["word"], size) for role in ROLES.all}
    train = np.isin(decisions.ids, event_decisions(decisions).ids)
    followed = Followed(np.ones(train.sum(), dtype=bool), state[train], opens[train])
    permuted = {"base": Planted(decisions, dead, truth["permuted"], size)}
    readouts = {role: Readout(None, MARKERS[:0]) for role in ROLES.all}
    found = run(
        replace(PARAMS, controls=controls), ROLES, BY_KIND, sentences, decisions, stores, readouts,
        untrained=Untrained(followed, permuted),
    )  # fmt: skip
    return found, truth


@pytest.mark.parametrize("form", ["word", "permuted"])
def test_a_control_without_training_is_what_it_is_named_after(form: str) -> None:
    found, truth = with_controls("word", "next", "permuted")
    for window, least in ((HERE, 0.97), (EARLIER, -1.0)):
        here = vector(found, Place("base", form, window, 1))
        cosine = float(torch.cosine_similarity(here, truth[form], dim=0))
        assert least < cosine and (window == HERE or cosine < 0.9)


def test_controls_are_of_the_base_alone_and_only_those_that_are_asked_for() -> None:
    for asked in (("next",), ("word", "permuted"), ()):
        found, _ = with_controls(*asked)
        places = [one.place for one in found.directions if one.place.form in CONTROLS]
        assert {one.form for one in places} == {*asked} and {one.role for one in places} <= {"base"}
        states = {one.state for one in places if one.form == "next"}
        assert states == ({"deduction"} if "next" in asked else set())
    with pytest.raises(ValueError, match="controls are some of"):
        replace(PARAMS, controls=("words",))
