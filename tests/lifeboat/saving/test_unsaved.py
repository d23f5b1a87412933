from pathlib import Path

from lifeboat.items import proven
from lifeboat.saving import unsaved
from lifeboat.saving.unsaved import Unsaved


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_finished_study_has_nothing_unsaved(project: Path) -> None:
    assert unsaved.read(project, []) == Unsaved()
    assert unsaved.items(project, []) == []


def test_without_its_data_a_fresh_clone_has_nothing_unsaved(project: Path) -> None:
    (project / "results" / "sum" / "sum.txt").unlink()
    (project / "results" / "sum").rmdir()
    assert unsaved.read(project, []) == Unsaved()


def test_an_edit_alone_is_a_warning(project: Path) -> None:
    edit(project / "dvc.yaml", "cat data", "cat  data")
    assert unsaved.read(project, []) == Unsaved(outdated=("sum",))
    assert proven(unsaved.items(project, []))


def test_an_edit_whose_out_is_gone_is_a_run_that_did_not_finish(project: Path) -> None:
    edit(project / "dvc.yaml", "cat data", "cat  data")
    (project / "results" / "sum" / "sum.txt").unlink()
    (project / "results" / "sum").rmdir()
    assert unsaved.read(project, []) == Unsaved(killed=("sum",))
    (item,) = unsaved.items(project, [])
    assert (item.verdict, item.fact.startswith("NOT SAVED: sum did not finish")) == ("wrong", True)
    assert unsaved.read(project, ["numbers"]) == Unsaved()


def test_a_changed_an_added_and_a_removed_file_change_an_out(project: Path) -> None:
    out = project / "data" / "raw" / "numbers"
    text = (out / "one").read_text()
    (out / "one").unlink()
    assert unsaved.read(project, []).changed == ("data/raw/numbers",)
    (out / "one").write_text("3\n")
    assert unsaved.read(project, []).changed == ("data/raw/numbers",)
    (out / "one").write_text(text)
    assert unsaved.read(project, []).changed == ()
    (out / "three").write_text("3\n")
    assert unsaved.read(project, []).changed == ("data/raw/numbers",)


def test_a_new_input_from_another_stage_makes_a_stage_outdated(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    before = lock.split("deps:")[1].split("md5: ")[1].split("md5: ")[0]
    assert before
    head, tail = lock.split("  sum:")
    oid = tail.split("md5: ")[1].split("\n")[0].strip()
    if oid == "md5":
        oid = tail.split("md5: ")[2].split("\n")[0].strip()
    (project / "dvc.lock").write_text(head + "  sum:" + tail.replace(oid, "0" * 32 + ".dir", 1))
    assert unsaved.read(project, []).outdated == ("sum",)


def test_a_stage_without_an_entry_never_finished(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(lock[: lock.index("  sum:")])
    assert unsaved.read(project, []) == Unsaved(unfinished=("sum",))
    assert not proven(unsaved.items(project, []))
