"""PREREG.md says what was frozen, and the check says what differs from it."""

from pathlib import Path

import pytest
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.local import localfs
from project import ROOT, call, write_tiny_params

from backtracking.domains.registry import is_exact
from backtracking.report import preregistration
from backtracking.runtime import params, profile
from lifeboat.stage.errors import UserError

LOCK = """\
stages:
  steer:
    params:
      params.yaml:
        steer.n_null: {n_null}
        models.studied: reasoning
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with parameters and a little code."""
    write_tiny_params(tmp_path / "params.yaml")
    (tmp_path / "src" / "backtracking" / "effects").mkdir(parents=True)
    (tmp_path / "src" / "backtracking" / "effects" / "rates.py").write_text("ONE = 1\n")
    call(tmp_path, "git", "init", "-q", "-b", "main")
    return commit(tmp_path)


def commit(root: Path) -> Path:
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "as it is")
    return root


def facts(root: Path, verdict: str) -> list[str]:
    return [one.fact for one in preregistration.check(root, is_exact) if one.verdict == verdict]


def test_it_names_endpoint_nulls_sizes_and_the_commit(root: Path) -> None:
    preregistration.write(root, is_exact)
    text = (root / "PREREG.md").read_text()
    head = call(root, "git", "rev-parse", "HEAD").strip()
    assert f"Frozen at commit `{head}`" in text
    for said in (
        "`base` in `reasoning`",
        "class alive",
        "`covariance`: 4 directions",
        "30 problems",
    ):
        assert said in text
    assert "pair `shuffled` beside `base`" in text and "P(backtrack), read exactly." in text
    assert facts(root, "wrong") == ["PREREG.md is not committed as it is."]
    assert not facts(commit(root), "wrong")


def test_controls_without_training_and_bases_of_no_pair_are_named(root: Path) -> None:
    overlay = params.read(ROOT / "configs" / "r1-distill-llama-8b.yaml")
    text, _ = profile.merged((root / "params.yaml").read_text(), overlay, "an overlay")
    (root / "params.yaml").write_text(text)
    preregistration.write(commit(root), is_exact)
    text = (root / "PREREG.md").read_text()
    assert "- the direction of `alien-base` has to move `reasoning` less than its base's." in text
    for control in ("word", "next", "permuted"):
        assert f"- the control `{control}` without training has to move" in text
    assert "- `prompting` of `reasoning` must hold." in text
    assert "pair `instruct` beside `base`: by its recipe, or informative." in text


def test_what_is_not_committed_cannot_be_frozen(root: Path) -> None:
    (root / "src" / "new.py").write_text("")
    with pytest.raises(UserError, match=r"src/new\.py is not committed"):
        preregistration.write(root, is_exact)


def test_one_that_is_there_is_kept(root: Path) -> None:
    preregistration.write(root, is_exact)
    with pytest.raises(UserError, match="is there already"):
        preregistration.write(root, is_exact)
    preregistration.write(root, is_exact, again=True)


def test_results_that_were_there_before_are_told(root: Path) -> None:
    (root / "results" / "steer").mkdir(parents=True)
    assert preregistration.write(root, is_exact)[1].verdict == "warning"
    assert "had run by then: steer." in (root / "PREREG.md").read_text()


def test_other_parameters_other_runs_and_other_code_are_told(root: Path) -> None:
    preregistration.write(root, is_exact)
    commit(root)
    (root / "dvc.lock").write_text(LOCK.format(n_null=4))
    assert not facts(root, "wrong")
    (root / "dvc.lock").write_text(LOCK.format(n_null=9))
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("n_study: 30", "n_study: 31"))
    (root / "src" / "backtracking" / "effects" / "rates.py").write_text("ONE = 2\n")
    asked, ran, code = facts(root, "wrong")
    assert "`problems.n_study` was 30, is 31" in asked
    assert "`steer` ran with" in ran and "`steer.n_null` was 4, is 9" in ran
    assert "src/backtracking/effects" in code


RAN = """\
stages:
  steer:
    deps:
    - path: src/backtracking/effects
      hash: md5
      md5: {folder}
    - path: src/backtracking/cli.py
      hash: md5
      md5: {file}
    - path: models
      hash: md5
      md5: 00000000000000000000000000000000.dir
  effects:
    deps:
    - path: src/backtracking/effects
      hash: md5
      md5: {folder}
"""


def hash_of(path: Path) -> str:
    """As DVC itself hashes a file or a folder."""
    odb = HashFileDB(localfs, str(path.parent / ".odb"))
    found = build(odb, str(path), localfs, "md5", dry_run=True)[2].hash_info.value
    assert found
    return found


def test_the_code_that_stages_ran_with_is_compared_by_the_hashes_in_dvc_lock(root: Path) -> None:
    code = root / "src" / "backtracking"
    for name, text in (
        ("effects/__init__.py", ""),
        ("effects/deep/a.py", "A = 1\n"),
        ("cli.py", ""),
    ):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text(text)
    preregistration.write(commit(root), is_exact)
    commit(root)
    ran = {"folder": hash_of(code / "effects"), "file": hash_of(code / "cli.py")}
    (root / "dvc.lock").write_text(RAN.format(**ran))
    assert not facts(root, "wrong")
    assert any("ran with the code of commit" in one for one in facts(root, "ok"))
    (code / "effects" / "deep" / "a.py").write_text("A = 2\n")
    (root / "dvc.lock").write_text(RAN.format(**ran | {"folder": hash_of(code / "effects")}))
    (code / "effects" / "deep" / "a.py").write_text("A = 1\n")
    (told,) = facts(root, "wrong")
    assert "ran with other code than" in told and "cli.py" not in told and "models" not in told
    assert "src/backtracking/effects (steer, effects)" in told


def test_runs_that_dvc_lock_has_of_these_traces_had_run(root: Path) -> None:
    (root / "dvc.lock").write_text(LOCK.format(n_null=4))
    preregistration.write(commit(root), is_exact)
    assert "had run by then: steer." in (root / "PREREG.md").read_text()
    assert not facts(commit(root), "wrong")
    (root / "dvc.lock").write_text(LOCK.format(n_null=9))  # asked otherwise, of the same traces
    assert len(preregistration.write(commit(root), is_exact, again=True)) == 2


READS = """\
stages:
  problems:
    params: {{params.yaml: {{problems.n_study: {n_study}}}}}
    outs: [{{path: data/raw/problems}}]
  weights@gone:
    params: {{params.yaml: {{weights.gone: 3}}}}
    outs: [{{path: models/gone}}]
  weights@base:
    deps: [{{path: data/raw}}]
    params: {{params.yaml: {{}}}}
    outs: [{{path: models/base}}]
  steer:
    deps: [{{path: models}}]
    params: {{params.yaml: {{steer.n_null: {n_null}}}}}
    outs: [{{path: results/steer}}]
"""


@pytest.mark.parametrize(
    ("n_study", "n_null", "is_of_this"), [(30, 4, True), (30, 9, True), (31, 4, False)]
)
def test_results_of_another_study_are_none_of_this_one(
    root: Path, n_study: int, n_null: int, is_of_this: bool
) -> None:
    (root / "results" / "steer").mkdir(parents=True)
    (root / "dvc.lock").write_text(READS.format(n_study=n_study, n_null=n_null))
    preregistration.write(commit(root), is_exact)
    assert ("had run by then" in (root / "PREREG.md").read_text()) == is_of_this
    assert not [one for one in facts(commit(root), "wrong") if "were recorded" in one]


def test_a_page_that_was_edited_or_came_with_the_runs_is_told(root: Path) -> None:
    preregistration.write(root, is_exact)
    (root / "dvc.lock").write_text(LOCK.format(n_null=4))
    page = root / "PREREG.md"
    page.write_text(page.read_text().replace("Preregistration\n", "Preregistration, edited\n"))
    edited, late = facts(commit(root), "wrong")
    assert "is not what this code writes" in edited and "were recorded: steer" in late


def test_without_one_there_is_nothing_to_compare(root: Path) -> None:
    with pytest.raises(UserError, match="There is no PREREG.md"):
        preregistration.check(root, is_exact)


READ = {"smollm2": "read exactly", "qwen3-8b": "drawn sentences", "mute": "P(an opener)"}


def test_every_overlay_can_be_preregistered() -> None:
    from backtracking.runtime import profile

    for name in profile.names(ROOT):
        values = profile.values_of(ROOT, name)
        text = preregistration.text_of(values, "a" * 40, [], is_exact(values))
        assert text.startswith("# Preregistration") and "```yaml" in text
        assert READ.get(name, "") in text
