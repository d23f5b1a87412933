import json
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from lifeboat import items
from lifeboat.saving import experiment_log
from lifeboat.stage.errors import UserError

DAY = date(2026, 3, 4)


@pytest.fixture
def study(repository: Path) -> Path:
    """A committed repository with the project's own parameters, results and log."""
    for name in (
        "params.yaml",
        "pyproject.toml",
        "reports/experiment_log.md",
        "results/summary.json",
        "results/claims.json",
    ):
        (repository / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(PROJECT_ROOT / name, repository / name)
    log = repository / "reports" / "experiment_log.md"
    log.write_bytes((log.read_text().partition("## Log Entries")[0] + "## Log Entries\n").encode())
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    subprocess.run(["git", "commit", "-qm", "Study"], cwd=repository, check=True)
    return repository


def head(root: Path) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout[:-1]


def test_an_entry_has_the_template_filled_in_with_what_is_known(study: Path) -> None:
    summary = json.loads((study / "results" / "summary.json").read_text())
    claim = json.loads((study / "results" / "claims.json").read_text())[0]
    found = experiment_log.add(study, "Dose, doubled", DAY)
    assert items.proven(found)
    entry = (study / "reports" / "experiment_log.md").read_text().partition("## Log Entries\n")[2]
    lines = entry.splitlines()
    assert lines[:2] == ["", "## 2026-03-04: Dose, doubled"]
    parts = [line.split(":")[0] for line in lines if line.startswith("**")]
    assert parts == ["**Goal", "**Setup", "**Results", "**Next steps", "**Commit"]
    assert "- Model: base: train (4 layers, d_model 64); reasoning: train" in entry
    assert "- Dataset: n_study 240" in entry
    assert f"**{claim['verdict']}**" in entry
    assert f"truncated_n {summary['traces_truncated_n']}" in entry
    assert "sha256" not in entry
    assert lines[-1] == f"**Commit:** `{head(study)}`"
    assert [item.verdict for item in found] == ["ok"]


def test_a_commit_that_lacks_something_is_said_to(study: Path) -> None:
    (study / "params.yaml").write_text((study / "params.yaml").read_text() + "# edited\n")
    found = experiment_log.add(study, "Edited", DAY)
    entry = (study / "reports" / "experiment_log.md").read_text()
    assert f"**Commit:** `{head(study)}`, and 1 changed or untracked paths" in entry
    assert any("does not have everything" in item.fact for item in found)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_newest_entry_is_the_first_and_every_other_byte_stays(
    study: Path, newline: str
) -> None:
    path = study / "reports" / "experiment_log.md"
    rest = "\n## 2026-01-01: Old\n\nünïcode, trailing space \n\n\nno newline at the end"
    before = (path.read_text() + rest).replace("\n", newline).encode()
    path.write_bytes(before)
    experiment_log.add(study, "First", DAY)
    experiment_log.add(study, "Second", DAY)
    after = path.read_bytes()
    at = before.index(b"## Log Entries") + len(f"## Log Entries{newline}")
    assert after.startswith(before[:at])
    assert after.endswith(before[at:])
    assert after.index(b": Second") < after.index(b": First") < after.index(b": Old")
    assert (after.count(b"\r\n") == after.count(b"\n")) == (newline == "\r\n")


def test_the_same_title_on_the_same_day_is_refused_and_on_another_it_is_not(study: Path) -> None:
    experiment_log.add(study, "Dose", DAY)
    before = (study / "reports" / "experiment_log.md").read_bytes()
    with pytest.raises(UserError, match=r"`## 2026-03-04: Dose` already.*another title"):
        experiment_log.add(study, " Dose ", DAY)
    assert (study / "reports" / "experiment_log.md").read_bytes() == before
    experiment_log.add(study, "Dose", date(2026, 3, 5))


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "a\tb"])
def test_a_title_is_one_line(study: Path, title: str) -> None:
    with pytest.raises(UserError, match="one line"):
        experiment_log.add(study, title, DAY)


def test_a_log_without_its_heading_is_left_alone(study: Path) -> None:
    path = study / "reports" / "experiment_log.md"
    path.write_text("# Mine\n")
    with pytest.raises(UserError, match="no heading"):
        experiment_log.add(study, "Dose", DAY)
    assert path.read_text() == "# Mine\n"


def test_without_results_the_places_stay_open(study: Path) -> None:
    for path in (study / "results").iterdir():
        path.unlink()
    (study / "params.yaml").write_text("seed: 1\n")
    found = experiment_log.add(study, "Plan", DAY)
    entry = (study / "reports" / "experiment_log.md").read_text().partition("## Log Entries")[2]
    assert "- Model: ...\n- Dataset: ...\n" in entry
    assert "**Results:**\n- ...\n" in entry
    assert any("no results yet" in item.fact for item in found)
