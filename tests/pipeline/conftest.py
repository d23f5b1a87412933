"""The tiny study, run once for all tests of the pipeline that take it as it is."""

import fcntl
from pathlib import Path

import pytest
from project import call, make_project, stages_run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A repository in which the study ran once, and was committed; `logs/` has its times.

    The processes of the tests share it: who comes second waits for who makes it.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    folder, made = shared / "project", shared / "project.made"
    with (shared / "project.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(folder)
            made.touch()
    return folder


def _make(folder: Path) -> None:
    folder.mkdir()
    make_project(folder)
    ran = stages_run(call(folder, "backtracking", "--root", ".", "reproduce"))
    assert sorted(ran) == sorted(call(folder, "dvc", "stage", "list", "--name-only").split())
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-qm", "results")
