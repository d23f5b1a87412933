"""The tiny study, run once for all tests of the pipeline that take it as it is."""

from pathlib import Path

import pytest
from project import call, make_project, stages_run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the study ran once, and was committed; `logs/` has its times."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    ran = stages_run(call(folder, "backtracking", "--root", ".", "reproduce"))
    assert sorted(ran) == sorted(call(folder, "dvc", "stage", "list", "--name-only").split())
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-qm", "results")
    return folder
