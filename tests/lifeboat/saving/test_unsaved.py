import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lifeboat.deadlines import Deadline, within
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


def waits(path: Path) -> None:
    os.mkfifo(path)


def linked(path: Path) -> None:
    waits(path.parents[3] / "pipe")
    path.symlink_to("../../../pipe")


def listens(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def unnamed(path: Path) -> None:
    path.with_name(os.fsdecode(b"caf\xe9")).write_text("x\n")


UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (waits, "numbers/odd"),
    "a socket": (listens, "numbers/odd"),
    "a link to nothing": (lambda path: path.symlink_to("/nowhere"), "numbers/odd"),
    "a link to itself": (lambda path: path.symlink_to("odd"), "numbers/odd"),
    "a link to what waits": (linked, "numbers/odd"),
    "a name that is no text": (unnamed, r"numbers/caf\xe9"),
}
"""What DVC does not take, or waits for without end: how it is made, and its name as it is told."""


@pytest.mark.kind(2)
@pytest.mark.parametrize("member", UNFIT)
def test_what_dvc_cannot_take_is_named_and_the_other_outs_are_looked_at(
    project: Path, member: str
) -> None:
    make, name = UNFIT[member]
    make(project / "data" / "raw" / "numbers" / "odd")
    (project / "results" / "sum" / "sum.txt").unlink()
    (project / "results" / "sum" / "sum.txt").write_text("4\n")
    look = lambda: unsaved.items(project, [])  # noqa: E731
    found = [item.fact for item in within(Deadline.after(30), "Looking", look)]
    assert any(f"DVC cannot take it: data/raw/{name};" in fact for fact in found), found
    assert any("not what dvc.lock records: results/sum." in fact for fact in found), found
    (project / ".dvcignore").write_text("odd\ncaf*\n")
    assert unsaved.read(project, []).unfit == ()
