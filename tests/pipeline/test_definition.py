"""dvc.yaml, params.yaml, modules and results folders say the same thing."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from closure import code_of, import_closure
from project import ROOT, environment

from backtracking.figures.every import NAMES as FIGURES
from backtracking.runtime import params
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat import processes

STAGES = params.read(ROOT / "dvc.yaml")["stages"]
PARAMS = params.read(ROOT / "params.yaml")
MODULES = {path.stem for path in (ROOT / "src/backtracking/stages").glob("*.py")}
MODULES -= {"__init__", "study", "looking", "reading"}
ROLES = params.load(Roles, "models", Workspace(ROOT).params)
WITHOUT_TORCH = ("problems", "label", "effects", "power", "summary", "report")
FITTED = ("directions", "probe", "transitions")
"""Stages that judge what they estimate or fit on stored arrays, and nothing that a model did."""
READING = ("models.turning", "transitions.next_token")
"""What runs a model for them, kept as units."""
ARITHMETIC = {"__init__", "auroc", "corrected"}
"""Modules of `statistics` that neither resample nor judge."""
DOMAIN = {"domain", "world", "policy", "base_policy", "countdown", "questions"}
SECTION_BY_RECORD = {
    "roles": "models",
    "classes": "contrast",
    "primary": "label.primary",
    "sentences": "label.primary",
    "models": "loading.dtype",
}
"""What `stages/study.py` reads of params.yaml for what it opens."""
OF_OTHERS = {"weights.{one}", "weights.{start}"}
"""What `weights` reads of roles that it trains ahead of their own stages."""
LONGEST = 260


def body_of(stage: str) -> dict:
    """What a stage does, for each role or once."""
    return STAGES[stage].get("do", STAGES[stage])


def names_of(entries: list) -> list[str]:
    """Paths of deps or outs, with or without settings."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def shown(entries: list[str]) -> str:
    """Entries as they stand in dvc.yaml, to paste there."""
    indent = " " * 6
    text = ", ".join(f'"{one}"' if "$" in one else one for one in entries)
    return textwrap.fill(
        text, 98, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def test_dvc_yaml_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_module_and_on_exactly_the_rooms_that_it_imports(stage: str) -> None:
    listed = [name for name in names_of(body_of(stage)["deps"]) if name.startswith("src/")]
    expected = code_of(f"backtracking.stages.{stage}")
    assert listed == expected, f"In dvc.yaml, the code of `{stage}` has to be:\n{shown(expected)}]"


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_enters_lifeboat_beyond_what_stages_stand_on(stage: str) -> None:
    entered = {one for one in code_of(f"backtracking.stages.{stage}") if "lifeboat" in one}
    assert entered == {"src/lifeboat/stage"}


@pytest.mark.parametrize("stage", STAGES)
def test_command_runs_the_checkouts_own_source_and_passes_signals_on(stage: str) -> None:
    command = f"PYTHONPATH=src exec python -m backtracking.stages.{stage}"
    assert body_of(stage)["cmd"] == command + (" ${key}" if "do" in STAGES[stage] else "")
    assert "?" in body_of(stage)["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_one_name_for_stage_module_section_test_and_results(stage: str) -> None:
    assert stage in MODULES
    assert (ROOT / "tests" / "stages" / f"test_{stage}.py").is_file()
    for out in names_of(body_of(stage)["outs"]) if stage != "summary" else []:
        assert not out.startswith("results/") or out.split("/")[1] == stage


def test_every_stage_module_is_a_stage() -> None:
    assert set(STAGES) == MODULES


def test_each_role_is_a_stage_of_weights_and_one_of_extract() -> None:
    for stage, out in (("weights", "models"), ("extract", "data/interim/activations")):
        assert STAGES[stage]["foreach"] == "${models.roles}"
        assert body_of(stage)["outs"] == [f"{out}/${{key}}"]
    assert "${item.starts_from}" in body_of("weights")["deps"]
    assert "models/${key}" in body_of("extract")["deps"]
    assert set(PARAMS["weights"]) == {"cores", "architecture", *ROLES.roles}


def sections_of(module: str) -> set[str]:
    """Sections and keys that a stage asks of params.yaml, the role written as in dvc.yaml."""
    text = (ROOT / f"src/backtracking/stages/{module}.py").read_text()
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("params.load", "params.load_value"):
                name = ast.unparse(node.args[1]).removeprefix("f").strip("'\"")
                found.add(name.replace("{role}", "${key}"))
            elif called == "open_domain":
                found |= DOMAIN
    opened = "|".join(set(re.findall(r"(\w+)(?:: Study\b| = Study\()", text)) | {"study"})
    read = re.findall(rf"\b(?:{opened})\.(\w+)", text)
    return found | {SECTION_BY_RECORD[name] for name in read if name in SECTION_BY_RECORD}


@pytest.mark.parametrize("stage", STAGES)
def test_params_of_a_stage_are_what_its_module_loads(stage: str) -> None:
    listed = body_of(stage)["params"]
    if stage == "summary":
        assert listed == [{"params.yaml": None}]  # its provenance hashes the whole file
        return
    expected = sections_of(stage)
    if stage == "weights":  # another role more changes nothing about this one, trained ahead or not
        expected = expected - {"models", *OF_OTHERS} | {"models.roles.${key}"}
    assert set(listed) == expected, (
        f"The params of `{stage}` have to be:\n{shown(sorted(expected))}"
    )


def test_every_section_of_params_is_read_by_a_stage() -> None:
    read = {section.split(".")[0] for module in MODULES for section in sections_of(module)}
    assert set(PARAMS) == read


def test_gpu_stages_write_nothing_for_git_and_only_those_that_tell_do() -> None:
    for name in STAGES:
        stage = body_of(name)
        uncached = [
            next(iter(entry))
            for entry in [*stage["outs"], *stage.get("metrics", [])]
            if isinstance(entry, dict) and next(iter(entry.values())).get("cache") is False
        ]
        if name == "smoke":
            assert uncached == ["results/smoke/metrics.json"]
        elif name == "report":
            assert uncached == [f"figures/{figure}.svg" for figure in FIGURES]
        elif name != "summary":
            assert not uncached and len(stage["outs"]) == 1


def test_what_smoke_finds_is_ignored_by_a_rule_that_says_so_and_not_by_that_of_results() -> None:
    words = ("check-ignore", "--no-index", "--verbose", "results/smoke/metrics.json")
    assert ":/results/smoke/\t" in processes.git(ROOT, *words).stdout


def test_the_lock_records_these_stages_and_none_that_are_gone() -> None:
    """DVC keeps the entry of a stage that was renamed, for good."""
    recorded = params.read(ROOT / "dvc.lock")["stages"]
    expected = set()
    for name, stage in STAGES.items():
        expected |= {f"{name}@{role}" for role in ROLES.roles} if "foreach" in stage else {name}
    assert set(recorded) == expected


@pytest.mark.parametrize("stage", WITHOUT_TORCH)
def test_stages_without_a_model_import_neither_torch_nor_transformers(stage: str) -> None:
    code = (
        f"import sys, backtracking.stages.{stage};"
        "from backtracking.domains.registry import open_domain; from pathlib import Path;"
        f"open_domain(Path({str(ROOT / 'params.yaml')!r}));"
        "print([m for m in ('torch', 'transformers', 'transformer_lens') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONPATH=str(ROOT / "src")),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def judging_in(module: str) -> set[str]:
    """Modules of `statistics` that resample or judge, of those that a module can import."""
    found = (Path(name) for name in import_closure(f"backtracking.{module}"))
    return {one.stem for one in found if one.parent.name == "statistics"} - ARITHMETIC


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {*WITHOUT_TORCH, *FITTED}))
def test_what_a_model_did_is_judged_by_no_stage_that_runs_one(stage: str) -> None:
    """So a changed `statistics` runs no model again."""
    assert "statistics" not in body_of(stage)["params"]
    assert judging_in(f"stages.{stage}") == set()


@pytest.mark.parametrize("module", READING)
def test_what_runs_a_model_for_a_stage_that_fits_depends_on_no_judging(module: str) -> None:
    """So it is a unit that a changed `statistics` leaves as it is."""
    assert judging_in(module) == set()


def test_figures_are_no_dependency_of_any_stage_but_the_one_that_draws_them() -> None:
    for stage in set(STAGES) - {"report"}:
        deps = names_of(body_of(stage)["deps"])
        assert not any("figures" in name for name in deps)
        assert stage == "summary" or not any("report" in name for name in deps)
