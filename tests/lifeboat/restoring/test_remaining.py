import contextlib
import re
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from lifeboat import processes
from lifeboat.restoring import remaining
from lifeboat.restoring.remaining import Remaining
from lifeboat.stage.errors import UserError

# Of a library of DVC's, on which DVC reads the pipeline.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

MORE = """\
  double:
    cmd: mkdir -p results/double && cat results/sum/sum.txt results/sum/sum.txt > results/double/d
    deps:
      - results/sum
    outs:
      - results/double
"""


@pytest.fixture
def three(project: Path) -> Path:
    """A finished project of three stages in a row: numbers, sum, double."""
    with (project / "dvc.yaml").open("a") as file:
        file.write(MORE)
    repro(project)
    return project


def forget(project: Path, stage: str) -> None:
    """Takes a stage's entry out of dvc.lock."""
    lock = (project / "dvc.lock").read_text()
    kept = re.sub(rf"(?m)^  {stage}:\n(?:    .*\n)*", "", lock)
    assert kept != lock
    (project / "dvc.lock").write_text(kept)


def repro(project: Path) -> None:
    """What `dvc repro` does, without a process that has to import DVC first."""
    with contextlib.chdir(project), Repo() as repo:
        repo.reproduce()  # pyright: ignore[reportCallIssue]


def test_a_missing_out_runs_its_stage_and_what_reads_it_only_if_it_changes(three: Path) -> None:
    found = remaining.remaining(three)
    assert found == Remaining((), (), ())
    (item,) = remaining.told(found, {})
    assert item.fact == "No stage will run again: all that dvc.lock records is here."
    shutil.rmtree(three / "data/raw/numbers")
    assert remaining.remaining(three) == Remaining(("numbers",), ("sum", "double"), ())


def test_a_folder_of_several_outs_is_no_reason_to_run_where_one_of_them_is_made_again(
    three: Path,
) -> None:
    with (three / "dvc.yaml").open("a") as file:
        file.write(
            "  all:\n    cmd: cat results/*/* > all.txt\n    deps: [results]\n    outs: [all.txt]\n"
        )
    repro(three)
    shutil.rmtree(three / "results/sum")
    assert remaining.remaining(three) == Remaining(("sum",), ("double", "all"), ())
    shutil.rmtree(three / "results/double")
    assert remaining.remaining(three) == Remaining(("sum", "double"), ("all",), ())


def test_a_stage_that_never_finished_runs_and_so_does_one_whose_code_changed(three: Path) -> None:
    forget(three, "sum")
    shutil.rmtree(three / "results/sum")
    assert remaining.remaining(three) == Remaining(("sum",), ("double",), ())
    text = (three / "dvc.yaml").read_text()
    (three / "dvc.yaml").write_text(text.replace("> results/double/d", "> results/double/twice"))
    assert remaining.remaining(three) == Remaining(("sum", "double"), (), ())
    repro(three)
    assert remaining.remaining(three) == Remaining((), (), ())


def test_data_that_no_stage_makes_is_wrong_where_it_is_missing(three: Path) -> None:
    (three / "given.txt").write_text("given\n")
    assert processes.dvc(three, "add", "given.txt").returncode == 0
    (three / "given.txt").unlink()
    found = remaining.remaining(three)
    assert found == Remaining((), (), ("given.txt.dvc",))
    item = remaining.told(found, {})[0]
    assert item.verdict == "wrong"
    assert item.fact == "given.txt.dvc has no data here."


def test_times_are_told_where_they_are_known() -> None:
    found = Remaining(("a", "b"), ("c",), ())
    will, may = remaining.told(found, {"a": 42.3, "c": 1.0})
    assert will.fact == (
        "2 stages will run: a (about 42 s), b (time unknown); about 42 s in all "
        "and 1 stage of unknown time."
    )
    assert may.fact == "Only if what they read comes out different from dvc.lock: c."
    (alone,) = remaining.told(Remaining(("a",), (), ()), {})
    assert alone.fact == "1 stage will run: a (time unknown); for a time that is not known."


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (100.0, "2 min"), (12600.0, "3.5 h")])
def test_a_duration_is_told_in_its_own_unit(seconds: float, words: str) -> None:
    assert remaining.duration(seconds) == words


def test_a_pipeline_that_cannot_be_read_is_an_error(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: [")
    with pytest.raises(UserError, match="DVC cannot"):
        remaining.remaining(project)


def test_of_added_data_only_what_is_gone_is_lost_wherever_it_lies(project: Path) -> None:
    for name in ("changed.csv", "gone.csv", "data/raw/hidden.csv", "from.csv"):
        (project / name).write_text(f"{name}\n")
    with contextlib.chdir(project), Repo() as repo:
        added = ["changed.csv", "gone.csv", "data/raw/hidden.csv"]
        repo.add(added)  # pyright: ignore[reportArgumentType]
        repo.imp_url("from.csv", "never.csv", no_download=True)  # pyright: ignore[reportArgumentType]
    for name in ("changed.csv", "gone.csv", "data/raw/hidden.csv"):
        (project / name).unlink()
    (project / "changed.csv").write_text("something else\n")
    found = remaining.remaining(project)
    assert found.lost == ("data/raw/hidden.csv.dvc", "gone.csv.dvc")
