"""What is committed of real traces, counted again by code that imports nothing of ours."""

import gzip
import json
from math import comb
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from project import ROOT


def committed(name: str) -> list[dict[str, Any]]:
    """A table that git holds."""
    return json.loads((ROOT / "results" / "real_traces" / f"{name}.json").read_text())


def test_sentences_with_wait_come_back_as_often_as_a_plain_count_says(shared_traces: Path) -> None:
    with gzip.open(shared_traces / "thought_anchors_math.jsonl.gz", "rt") as file:
        sentences = [one for line in file for one in json.loads(line)["sentences"]]
    known = [one for one in sentences if one["n_resamples"]]
    counts = [(one["n_resamples_wait"], one["n_resamples"], one["text"][:4]) for one in known]
    waits = [(k, n) for k, n, begins in counts if begins == "Wait"]
    rates = [k / n for k, n in waits]
    few = [sum(comb(k, j) * comb(n - k, 10 - j) for j in range(8)) / comb(n, 10) for k, n in waits]
    found, *_, others = committed("stability")
    assert found["n"] == len(waits) == 350
    assert [found[name]["value"] for name in ("mean", "median")] == pytest.approx(
        [mean(rates), median(rates)], abs=1e-6
    )
    assert found["below_half"]["value"] == pytest.approx(mean(x < 0.5 for x in rates), abs=1e-6)
    assert found["below_most"]["value"] == pytest.approx(mean(x < 0.8 for x in rates), abs=1e-6)
    assert found["of_ten"]["value"] == pytest.approx(mean(few), abs=1e-6)
    rest = mean(k / n for k, n, begins in counts if begins != "Wait")
    assert others["mean"]["value"] == pytest.approx(rest, abs=1e-6)


def test_committed_values_are_those_that_were_known_before() -> None:
    found, *_, others = committed("stability")
    names = ("mean", "median", "below_half", "below_most")
    values = [round(found[name]["value"], 3) for name in names]
    assert values == [0.370, 0.218, 0.666, 0.780]
    assert round(others["mean"]["value"], 3) == 0.022


def test_what_the_findings_say_in_words_is_what_the_tables_say() -> None:
    opens, within = committed("one_more_draw")[1:]
    assert opens["ratio"]["high"] < 0.6 and within["ratio"]["low"] > 1
    for row in committed("order_null"):
        assert row["gain"] > row["null_high"] > row["null_mean"] > 0
