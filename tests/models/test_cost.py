"""What a study needs of a machine, beside an estimate that was made by hand."""

import re

import pytest
from project import ROOT

from backtracking.models import cost, rented
from backtracking.models.cost import GPUS
from backtracking.models.fitting import Rows
from backtracking.models.published import SHAPES
from backtracking.models.work import GUESS, Work
from backtracking.runtime import profile
from lifeboat.stage.errors import UserError

LLAMA = SHAPES["meta-llama/Llama-3.1-8B"]
PUBLISHED = {
    "Qwen/Qwen2.5-Math-1.5B": 1.54,
    "Qwen/Qwen2.5-14B": 14.77,
    "Qwen/Qwen3-8B": 8.19,
    "Qwen/Qwen1.5-7B": 7.72,
    "meta-llama/Llama-3.1-8B": 8.03,
}
"""Parameters in billions, as the hub counts the tensors of each."""
BY_HAND = {
    "traces": (Work("", "", 0, 6e6, 192, 1280), 0.3),
    "read by four models": (Work("", "", 4 * 2400 * 2560), 0.6),
    "P(backtrack)": (Work("", "", 0, 600 * 25 * 16 * 40, 192, 1280), 0.7),
    "free runs": (Work("", "", 0, 100 * 8 * 2500, 32, 1280), 0.4),
}
"""Hours on an H100 with Llama 3.1 8B that were estimated before there was code for it."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_has_the_published_number_of_parameters(name: str) -> None:
    assert SHAPES[name].n_parameters / 1e9 == pytest.approx(PUBLISHED[name], abs=0.01)


@pytest.mark.parametrize("name", BY_HAND)
def test_hours_are_within_a_factor_of_three_of_an_estimate_by_hand(name: str) -> None:
    work, by_hand = BY_HAND[name]
    hours = cost.seconds(work, LLAMA, GPUS["H100"], "bfloat16") / 3600
    assert by_hand / 3 <= hours <= by_hand * 3


def test_writing_in_small_batches_is_bound_by_the_calls_and_in_large_ones_by_memory() -> None:
    gpu = GPUS["H100"]
    one, many = (
        cost.seconds(Work("", "", 0, 1000, n, 1000), LLAMA, gpu, "bfloat16") for n in (1, 512)
    )
    assert one == pytest.approx(1000 * 32 * GUESS.block_seconds)
    n_bytes = 2 * (LLAMA.n_parameters + 512 * 1000 * LLAMA.kv_values)
    assert many == pytest.approx(1000 / 512 * n_bytes / (gpu.bandwidth * 0.5))


def test_equal_weights_stand_once_in_memory_and_twice_in_activations() -> None:
    values = profile.values_of(ROOT, "qwen3-8b")
    less = cost.needs(values, GPUS["H200"])
    values["models"]["roles"]["alien"] = {"base": "base"}
    whole = cost.needs(values, GPUS["H200"])
    assert less.gpu_bytes == whole.gpu_bytes
    assert less.disk_bytes < whole.disk_bytes and less.hours < whole.hours


@pytest.mark.parametrize(("section", "key"), [("directions", "controls"), ("extract", "permuted")])
def test_controls_without_training_take_hours(section: str, key: str) -> None:
    values = profile.values_of(ROOT, "r1-distill-llama-8b")
    whole = cost.needs(values, GPUS["A100"])
    values[section][key] = []
    assert cost.needs(values, GPUS["A100"]).hours < whole.hours


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("r1-distill-qwen-1.5b", "RTX 4090"),
        ("r1-distill-llama-8b", "A100"),
        ("qwen3-8b", "A100"),
        ("r1-distill-qwen-14b", "H200"),
    ],
)
def test_an_overlay_fits_the_gpu_that_it_names(name: str, gpu: str) -> None:
    needed = cost.needs(profile.values_of(ROOT, name), GPUS[gpu])
    assert needed.gpu_bytes <= GPUS[gpu].gigabytes * 1e9
    assert not needed.unknown
    items = rented.shown(ROOT, name, gpu, 3.0)
    assert any(f"{needed.hours * 3:.2f} at 3.00 an hour" in one.fact for one in items)


@pytest.mark.parametrize("name", profile.names(ROOT))
def test_every_overlay_shows_all_of_its_models(name: str) -> None:
    values, items = profile.values_of(ROOT, name), rented.shown(ROOT, name, None, 3.0)
    told = {one.fact.split(": ")[0]: one.fact for one in items}
    for role in values["models"]["roles"]:
        assert values["weights"][role]["source"] in told[role]


def test_a_gpu_that_is_too_small_is_wrong_and_one_that_is_none_is_refused() -> None:
    items = rented.shown(ROOT, "r1-distill-llama-8b", "RTX 4090", 1.0)
    assert [one.verdict for one in items].count("wrong") == 1
    with pytest.raises(UserError, match=r"no GPU `H1000`"):
        rented.shown(ROOT, "r1-distill-llama-8b", "H1000", 1.0)


def test_several_cards_hold_more_and_work_no_faster_and_fewer_rows_go_where_few_fit() -> None:
    def said(gpu: str, n_gpus: int) -> str:
        items = rented.shown(ROOT, "r1-distill-llama-8b", gpu, 1.0, n_gpus)
        return " ".join(f"{one.verdict} {one.fact}" for one in items)

    one, two, three = (said("RTX 4090", n) for n in (1, 2, 3))
    assert "wrong Not enough memory for what has to be loaded at once" in one
    assert "wrong" in two and "wrong" not in three
    assert "ok Fewer rows go at once than are asked for: belief 31 of 32 tails." in three
    assert "ok All rows that are asked for go at once." in said("L40S", 2)
    hours = [float(re.search(r"([\d.]+) hours,", told)[1]) for told in (one, three)]  # type: ignore[index]
    assert hours[0] == hours[1]
    assert f"{3 * hours[0]:.0f}"[:2] in three


@pytest.mark.parametrize(
    "rows",
    cost.rows_of(profile.values_of(ROOT, "qwen3-8b")),
    ids=lambda one: f"{one.stage} {one.kind}",
)
def test_rows_fit_the_bytes_that_they_are_said_to_take_and_no_fewer(rows: Rows) -> None:
    assert rows.at_once(rows.n_bytes + 1) == rows.asked
    assert rows.at_once(rows.n_bytes - 1e6) == rows.asked - 1
    assert rows.at_once(rows.weights) == 0


def test_every_overlay_is_listed_and_only_those_of_published_models_have_a_price() -> None:
    items = rented.listed(ROOT, 2.5)
    assert len(items) == len(profile.names(ROOT))
    priced = {one.fact.split(":")[0] for one in items if "an hour" in one.fact}
    assert priced == {
        "r1-distill-qwen-1.5b", "r1-distill-llama-8b", "r1-distill-qwen-14b", "qwen3-8b",
    }  # fmt: skip


def test_the_page_about_overlays_has_these_sums() -> None:
    page = (ROOT / "docs" / "overlays.md").read_text()
    stages = rented.stages_table(ROOT, "r1-distill-llama-8b")
    for table in (rented.table(ROOT, 2.5), stages, rented.one_card()):
        assert table in page, f"docs/overlays.md has to have:\n{table}"


def test_rows_that_write_on_hold_caches_and_drawn_sentences_take_hours() -> None:
    values = profile.values_of(ROOT, "r1-distill-llama-8b")
    drawn = cost.needs(values, GPUS["A100"])
    values["stability"]["batch_size"] = 256
    assert cost.needs(values, GPUS["A100"]).gpu_bytes > 2 * drawn.gpu_bytes
    values["steer"]["drawn"]["n"] = 0
    without = cost.needs(values, GPUS["A100"]).hours_by_stage
    assert drawn.hours_by_stage["steer"] > without["steer"] > 0


@pytest.mark.parametrize("name", ["r1-distill-qwen-1.5b", "r1-distill-llama-8b"])
def test_traces_stay_within_the_positions_that_every_model_has(name: str) -> None:
    values = profile.values_of(ROOT, name)
    longest = values["traces"]["max_new_tokens"] + GUESS.prompt_tokens
    for role in values["models"]["roles"]:
        shape = SHAPES.get(str(values["weights"][role]["source"]))
        assert shape is None or shape.context is None or longest <= shape.context
