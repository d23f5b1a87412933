"""Whether a direction decodes to a marker: random ones do at the nominal rate."""

import numpy as np

from backtracking.effects.decoding import judge_decoded, judge_ranks, tabulate_ranks
from backtracking.records.decoded import Decoded, Random, Rank, Variant
from backtracking.records.places import Place

MARKERS = ("Wait", "No")
NULL = tuple(np.random.default_rng(0).random(999).tolist())
RANDOM = [
    Random("reasoning", final_norm, marker, NULL)
    for final_norm in (True, False)
    for marker in MARKERS
]
CHOSEN = Place("reasoning", "matched", (-4, 0), 2)
PAIRS = {"reasoning": "base"}


def reading(
    place: Place, percentile: float, variant: Variant = "whole", final_norm: bool = True
) -> Decoded:
    ranks = tuple(Rank(marker, 1.0, percentile, 0.0) for marker in MARKERS)
    return Decoded(place, "reasoning", final_norm, variant, 1.0, ranks, (), ())


def test_a_marker_beyond_random_directions_decodes_where_the_lens_sees() -> None:
    top, low = (tabulate_ranks([reading(CHOSEN, p)], RANDOM, "Wait")[0] for p in (1.0, 0.4))
    assert top.p == 0.001 and 0.9 < top.random95 < 1 and top.n_random == 999
    assert (top.form, top.window, top.rank.marker) == ("matched", "-4:0", "Wait")
    assert judge_decoded(top, top, 7).finding.verdict == "fails"
    row = judge_decoded(low, top, 7)
    assert (row.finding.verdict, row.finding.pair, row.finding.n) == (
        "holds",
        "reasoning -> reasoning",
        7,
    )
    blind = judge_decoded(low, low, 7).finding
    assert (blind.verdict, blind.parts["action_decodes"]) == ("untestable", "fails")


def test_random_directions_decode_to_a_marker_at_the_nominal_rate() -> None:
    tested = np.random.default_rng(1).random(1000)
    rows = tabulate_ranks([reading(CHOSEN, float(p)) for p in tested], RANDOM)
    assert len(rows) == 2000
    for marker in MARKERS:
        own = [row for row in rows if row.rank.marker == marker]
        assert np.mean([row.p <= 0.05 for row in own]) < 0.08
    (seen,) = tabulate_ranks([reading(CHOSEN, 1.0)], RANDOM, "Wait")
    failed = [judge_decoded(row, seen, 7).finding.verdict == "fails" for row in rows]
    assert 0.02 < np.mean(failed) < 0.08


def test_both_directions_of_a_pair_are_judged_where_it_is_steered_and_ward_at_any_window() -> None:
    wanted = [
        CHOSEN,
        CHOSEN._replace(role="base"),
        Place("base", "ward", (-13, -8), 2),
    ]
    others = [
        CHOSEN._replace(layer=1),
        CHOSEN._replace(window=(0, 0)),
        CHOSEN._replace(role="shuffled"),
        Place("base", "ward", (-13, -8), 1),
    ]
    decoded = [reading(Place("reasoning", "action"), 1.0)]
    decoded += [reading(place, 0.3) for place in (*wanted, *others)]
    decoded += [reading(CHOSEN, 1.0, "without_markers"), reading(CHOSEN, 1.0, "whole", False)]
    rows = judge_ranks(decoded, RANDOM, CHOSEN, PAIRS, "Wait", 7)
    assert [(row.claim, row.finding.pair, row.finding.verdict) for row in rows] == [
        ("does_not_decode_to_marker", "reasoning -> reasoning", "holds"),
        ("does_not_decode_to_marker", "base -> reasoning", "holds"),
        ("ward_does_not_decode", "base -> reasoning", "holds"),
    ]


def test_without_a_marker_or_an_action_there_is_no_claim() -> None:
    decoded = [reading(CHOSEN, 0.3)]
    assert judge_ranks(decoded, RANDOM, CHOSEN, PAIRS, "Wait", 7) == []
    assert judge_ranks(decoded, RANDOM, CHOSEN, PAIRS, None, 7) == []
