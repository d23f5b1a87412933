"""dvc.yaml, params.yaml, modules and results folders say the same thing."""

import ast
import re
import subprocess
import sys

import pytest
from closure import import_closure
from project import ROOT, environment
from ruamel.yaml import YAML

from backtracking.runtime.workspace import Roles

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())
PARAMS = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
STAGES = DVC["stages"]
MODULES = {path.stem for path in (ROOT / "src/backtracking/stages").glob("*.py")}
ROLES = Roles(PARAMS["models"]["controls"])
CONTROL_MODELS = [role for role in ROLES.all if role not in ("base", "reasoning")]
WITHOUT_MODEL = ("problems", "label", "pairs", "seeds", "summary")


def module_of(stage: str) -> str:
    """The module that a stage's command runs."""
    return re.findall(r"backtracking\.stages\.(\w+)", STAGES[stage]["cmd"])[0]


def names_of(entries: list) -> list[str]:
    """Paths of deps or outs, with or without settings."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_in_the_source_are_exactly_the_import_closure(stage: str) -> None:
    listed = {name for name in names_of(STAGES[stage]["deps"]) if name.startswith("src/")}
    assert listed == import_closure(f"backtracking.stages.{module_of(stage)}")


@pytest.mark.parametrize("stage", STAGES)
def test_command_runs_the_checkouts_own_source_and_passes_signals_on(stage: str) -> None:
    command = "PYTHONPATH=src exec python -m backtracking.stages."
    assert STAGES[stage]["cmd"].startswith(command)
    assert STAGES[stage]["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_one_name_for_stage_module_section_and_results(stage: str) -> None:
    module = module_of(stage)
    assert stage == module or stage.startswith(f"{module}-")
    assert module in PARAMS
    assert (ROOT / "tests" / "stages" / f"test_{module}.py").is_file()
    if stage != "summary":
        for out in names_of(STAGES[stage]["outs"]):
            if out.startswith("results/"):
                assert out.split("/")[1] == module


def test_every_stage_module_is_a_stage() -> None:
    assert MODULES - {"__init__", "command"} == {module_of(stage) for stage in STAGES}


def loaded_sections(module: str) -> set[str]:
    """Sections and keys that a stage module asks of params.yaml, roles written as `*`."""
    tree = ast.parse((ROOT / f"src/backtracking/stages/{module}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if ast.unparse(node.func) in ("params.load", "params.load_value"):
            found.add(
                re.sub(r"\{.*?\}", "*", ast.unparse(node.args[1]).removeprefix("f").strip("'\""))
            )
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_params_of_a_stage_are_what_its_module_loads(stage: str) -> None:
    listed = STAGES[stage]["params"]
    if listed == [{"params.yaml": None}]:
        assert stage == "summary"  # its provenance hashes the whole file
        return
    roles = "|".join(ROLES.all)
    wildcard = {re.sub(rf"^weights\.({roles})$", "weights.*", name) for name in listed}
    expected = loaded_sections(module_of(stage))
    if stage == "weights-base":
        expected -= {"policy"}
    elif stage == "weights-reasoning":
        expected -= {"base_policy"}
    elif stage == "extract":
        expected -= {"models"}
    elif stage in ("controls", "pairs"):
        # Their models are made by the module of `weights`, with threads of their own.
        expected |= loaded_sections("weights") - {"weights.n_threads"}
    assert wildcard == expected


def test_the_stage_of_the_control_pairs_reads_and_makes_every_model_of_them() -> None:
    stage = STAGES["controls"]
    assert stage["outs"] == [f"models/{role}" for role in CONTROL_MODELS]
    assert {f"weights.{role}" for role in CONTROL_MODELS} <= set(stage["params"])


def test_every_section_of_params_is_read_by_a_stage() -> None:
    read = {section.split(".")[0] for module in MODULES for section in loaded_sections(module)}
    assert set(PARAMS) == read


def test_gpu_stages_write_nothing_for_git_and_only_summary_does() -> None:
    for name, stage in STAGES.items():
        uncached = [
            next(iter(entry))
            for entry in [*stage["outs"], *stage.get("metrics", [])]
            if isinstance(entry, dict) and next(iter(entry.values())).get("cache") is False
        ]
        if name == "smoke":
            assert uncached == ["results/smoke/metrics.json"]
        elif name != "summary":
            assert not uncached
            assert len(stage["outs"]) == 1 or name in ("controls", "extract-controls")


def test_every_model_is_extracted_the_pair_in_stages_of_its_own() -> None:
    assert STAGES["extract"]["matrix"]["role"] == ["base", "reasoning"]
    stage = STAGES["extract-controls"]
    assert stage["cmd"].endswith("extract controls")
    assert stage["outs"] == [f"data/interim/activations/{role}" for role in CONTROL_MODELS]
    assert {f"models/{role}" for role in CONTROL_MODELS} <= set(stage["deps"])


def test_the_lock_records_these_stages_and_none_that_are_gone() -> None:
    """DVC keeps the entry of a stage that was renamed, for good."""
    recorded = YAML(typ="safe", pure=True).load((ROOT / "dvc.lock").read_text())["stages"]
    expected = set()
    for name, stage in STAGES.items():
        roles = stage.get("matrix", {}).get("role")
        expected |= {f"{name}@{role}" for role in roles} if roles else {name}
    assert set(recorded) == expected


@pytest.mark.parametrize("stage", WITHOUT_MODEL)
def test_stages_without_a_model_import_neither_torch_nor_transformers(stage: str) -> None:
    code = (
        f"import sys, backtracking.stages.{stage};"
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


def test_figures_are_no_dependency_of_any_stage_that_runs_a_model() -> None:
    for stage in STAGES:
        if stage != "summary":
            assert not any("figures" in name for name in names_of(STAGES[stage]["deps"]))
