"""Every figure: its arms are there, its title's number is the data's, and nothing overlaps."""

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from planted_figures import PAIRS, found, near, tables
from synthetic_results import study_with

from backtracking.figures.components import components
from backtracking.figures.dose import dose
from backtracking.figures.every import NAMES, draw
from backtracking.figures.graph import transition_graph
from backtracking.figures.labellers import labellers
from backtracking.figures.labels import Shares
from backtracking.figures.leakage import leakage
from backtracking.figures.picture import Absent, Drawn, Picture, placeholder
from backtracking.figures.stability import stability
from backtracking.figures.states import state_models
from backtracking.figures.style import COLUMN, PAGE, png, styled, svg
from backtracking.figures.transfer import transfer
from backtracking.labels.states import STATES
from backtracking.records.intervals import Interval
from backtracking.records.rows.components import TopOutcome
from backtracking.records.rows.labellers import LabellerAgreement, Subset
from backtracking.records.rows.steering import Cell

FINDINGS = {
    "dose": "base takes P(backtrack) at alive from 0.100 to 0.412 (0.392 to 0.432); 3 random "
    "directions end at 0.200 or below",
    "transfer": "base moves reasoning by +0.312 (0.292 to 0.332): holds; of control pairs that of "
    "shuffled moves it most, by -0.050: no test",
    "leakage": "tells backtracks at AUROC 0.850 (0.830 to 0.870); words and time at 0.700: +0.150",
    "probe_grid": "reasoning tell backtracks best in layer 1 at token 0 from the deciding one: "
    "AUROC 0.870",
    "lens": "Wait stands at percentile 0.970 along the direction of reasoning in layer 2, where it "
    "stands highest: above what 95 % of 99 random directions stay below (0.950)",
    "components": "reasoning backtracks in 0.020 (0.000 to 0.040) of its sentences instead of "
    "0.150, and solves 0.300 of the problems instead of 0.700",
    "transitions": "After backtracking comes backtracking in 0.667 (0.667 to 0.667)",
    "transition_graph": "it is most likely after deduction: 0.500 (0.500 to 0.500)",
    "state_models": "a chain of order 1 predicts the next sentence at 0.900 (0.880 to 0.920) nats; "
    "an HMM of the activations of reasoning at 0.400 (0.380 to 0.420)",
    "stability": "reasoning backtracks again in 0.630 (0.610 to 0.650) of the continuations",
    "agreement": "rules finds 0.333 (0.333 to 0.333) of what exact calls backtracking, with an F1 "
    "of 0.500 (0.500 to 0.500)",
    "training": "0.250 nats a token for reasoning and 0.250 nats a token for base",
}
"""What each title says of the planted study."""

CONTROLS = set(NAMES) - {"transitions", "transition_graph", "agreement"}
"""Figures of several models, which show the control pair beside the one under study."""


@pytest.fixture(scope="module")
def drawn() -> Mapping[str, Picture]:
    return draw(found())


def of(pictures: Mapping[str, Picture], name: str) -> Drawn:
    one = pictures[name]
    assert isinstance(one, Drawn), one
    return one


@styled
def texts(figure: Figure) -> list[Text]:
    """What can be read of a figure; labels of ticks beyond the ends of an axis are not drawn."""
    figure.draw_without_rendering()
    beyond = set[Text]()
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        far = [one for one in ticks if not low <= one.get_loc() <= high]
        beyond |= {label for one in far for label in (one.label1, one.label2)}
    return [
        one
        for one in figure.findobj(Text)
        if isinstance(one, Text) and one.get_visible() and one.get_text().strip()
        and one.get_window_extent().width > 0 and one not in beyond
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_title_is_a_finding_whose_numbers_are_the_datas(
    name: str, drawn: Mapping[str, Picture]
) -> None:
    one = of(drawn, name)
    assert FINDINGS[name] in one.title
    shown = one.figure.get_suptitle()
    assert shown.replace("\n", " ") == one.title


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_arms_of_control_pairs_are_shown(name: str, drawn: Mapping[str, Picture]) -> None:
    said = " ".join(one.get_text() for one in texts(of(drawn, name).figure))
    assert "reasoning" in said and "shuffled" in said


def test_a_dose_has_both_units_and_the_action_and_random_directions(
    drawn: Mapping[str, Picture],
) -> None:
    said = " ".join(one.get_text() for one in texts(of(drawn, "dose").figure))
    for part in ("norms of the model's own", "mean norms of its residual", "action", "random"):
        assert part in said


def test_every_arrow_goes_from_one_box_to_another_and_what_is_left_out_is_told() -> None:
    names = (*STATES, "END")
    even = tuple(Interval(1 / len(names), 0.1, 0.2, 9) for _ in names)
    shares = Shares(STATES, names, (even,) * len(STATES), (200,) * len(STATES))
    drawn = transition_graph(shares)
    assert isinstance(drawn, Drawn)
    (axis,) = drawn.figure.axes
    boxes = [patch.get_window_extent() for one in axis.texts if (patch := one.get_bbox_patch())]
    arrows = [one for one in axis.patches if isinstance(one, FancyArrowPatch)]
    assert len(arrows) == len(STATES) * (len(names) - 1)
    for arrow in arrows:
        points = axis.transData.transform(arrow.get_path().vertices)
        far = [np.hypot(*_beyond(box, points)).min() for box in boxes]
        assert sum(one < 6 * drawn.figure.dpi / 72 for one in far) >= 2
    assert any("0.05 of a state" in one.get_text() for one in axis.texts)


def _beyond(box: Bbox, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each point lies outside of a box, in x and in y."""
    low, high = np.array(box.min), np.array(box.max)
    return np.maximum(0, np.maximum(low - points, points - high)).T


LONG = {"a-reasoning-model-of-long-name": "its-base-of-long-name"} | {
    f"control-pair-{number}": "its-base-of-long-name" for number in range(5)
}
STUDIES = {"two pairs": (), "one pair": ({"r": "b"}, 1), "many": (LONG, 30)}


@pytest.fixture(scope="module", params=STUDIES)
def any_study(
    request: pytest.FixtureRequest, drawn: Mapping[str, Picture]
) -> Mapping[str, Picture]:
    if request.param == "two pairs":
        return drawn
    return draw(found(*STUDIES[request.param]))


def test_no_label_is_clipped_and_none_overlaps_another(any_study: Mapping[str, Picture]) -> None:
    for name in NAMES:
        require_legible(name, of(any_study, name).figure)


def require_legible(name: str, figure: Figure) -> None:
    assert figure.get_figwidth() in (COLUMN, PAGE)
    width, height = figure.bbox.width, figure.bbox.height
    read = texts(figure)
    boxes = [(one.get_text(), one.get_window_extent()) for one in read]
    for text, box in boxes:
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside, (name, text, box)
    for (a, one), (b, other) in itertools.combinations(boxes, 2):
        x = min(one.x1, other.x1) - max(one.x0, other.x0)
        y = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert x < 1.5 or y < 1.5, (name, a, b)
    assert all(float(one.get_fontsize()) >= 6 for one in read), name


def test_labellers_of_real_traces_stand_beside_one_another() -> None:
    """By source and set of traces; who is best of its kind, on most sentences, is the title."""
    values = {"rules": 0.4, "learned": 0.6, "a-judge": 0.5, "human A": 0.9}
    kinds: dict[str, Any] = {"rules": "ours", "learned": "ours", "a-judge": "judge"}
    rows = [
        LabellerAgreement(
            source, subset, name, kinds.get(name, "human"), n, 3, 5, 5, *[near(value)] * 4
        )
        for source, n in (("reasoningflow_aime", 5), ("reasoningflow_human", 9), ("other", 1))
        for subset in get_args(Subset)
        for name, value in values.items()
    ]
    drawn = labellers(rows)
    assert isinstance(drawn, Drawn)
    require_legible("labellers", drawn.figure)
    best = "our best labeller 0.600 (0.580 to 0.620), the best judge 0.500 (0.480 to 0.520)"
    assert f"{best}, another human 0.900" in drawn.title
    said = " ".join(one.get_text() for one in texts(drawn.figure))
    assert all(part in said for part in ("a human's own labels", "other", "a-judge", "held back"))
    assert isinstance(labellers([]), Absent)


@contextmanager
def another_style() -> Iterator[None]:
    """What nothing may look at, and nothing may change."""
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "none", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        yield
        assert all(matplotlib.rcParams[key] == before[key] for key in before if key != "backend")


@pytest.fixture(scope="module")
def again() -> Mapping[str, Picture]:
    with another_style():
        return draw(found())


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_the_same_whenever_it_is_drawn_and_whatever_the_style(
    name: str, drawn: Mapping[str, Picture], again: Mapping[str, Picture]
) -> None:
    one, other = of(drawn, name), of(again, name)
    with another_style():
        written = svg(other.figure, other.title)
    assert written == svg(one.figure, one.title)
    text = written.decode()
    assert "<dc:date>" not in text and f"<title>{one.title}" in text
    assert not re.search(r' d="M \d+\.\d{3}', text)
    ElementTree.fromstring(text)


def test_pixels_are_the_same_each_time(drawn: Mapping[str, Picture]) -> None:
    figure = of(drawn, "dose").figure
    assert png(figure) == png(figure)


def test_what_a_study_lacks_is_left_out_with_a_reason() -> None:
    nothing = replace(found(), study=study_with(), losses={}, sentences=[], traces=[])
    for name, one in draw(nothing).items():
        assert isinstance(one, Absent) and one.reason.endswith("."), name
        svg(placeholder(one), "Not drawn")


def test_what_is_undefined_is_said_to_be_or_left_out() -> None:
    rows = [undefined(row) for found in tables().tables._found.values() for row in found]
    study = study_with(*rows)
    for one in (dose(study), transfer(study), components(study)):
        assert isinstance(one, Drawn) and "undefined" in one.title and "nan" not in one.title
    for one in (leakage(study), state_models(study), stability(study)):
        assert isinstance(one, Absent)


def undefined(value: Any) -> Any:
    """A record in which no interval has a value."""
    if isinstance(value, Interval):
        return Interval(None, None, None, 0)
    if is_dataclass(value) and not isinstance(value, type):
        names = [one.name for one in fields(value)]
        return replace(value, **{name: undefined(getattr(value, name)) for name in names})
    return tuple(map(undefined, value)) if isinstance(value, tuple) else value


def test_without_control_pairs_a_transfer_tells_of_its_own_alone() -> None:
    one = transfer(tables({"reasoning": "base"}))
    assert isinstance(one, Drawn) and "control" not in one.title


def test_the_studied_models_own_direction_is_no_controls() -> None:
    pairs = {**PAIRS, "alien": "other"}
    given = tables(pairs).tables.rows(Cell)
    own = replace(given[0], source="reasoning", effect=near(0.7))
    same = [replace(one, effect=own.effect) if one.source == "alien" else one for one in given]
    one = transfer(study_with(*same, own, pairs=pairs))
    assert isinstance(one, Drawn) and "shuffled moves it most, by -0.050" in one.title


def test_without_whole_generations_components_tell_of_decisions() -> None:
    given = tables().tables
    kept = [row for cls in given._found if cls is not TopOutcome for row in given.rows(cls)]
    one = components(study_with(*kept))
    assert isinstance(one, Drawn) and "-0.500 (-0.520 to -0.480), the most of all" in one.title


def test_names_that_are_markup_or_mathematics_stay_text() -> None:
    made = draw(found({"<b>&$x_1$": "$\\frac{", "~`'\"": "$\\frac{"}))
    for name in NAMES:
        one = of(made, name)
        text = svg(one.figure, one.title).decode()
        assert "<b>" not in text
        ElementTree.fromstring(text)
