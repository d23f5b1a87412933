import threading
from pathlib import Path

import pytest

from lifeboat import project
from lifeboat.project import Contract
from lifeboat.stage.errors import UserError


def test_a_machine_keeps_its_name_and_another_one_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = project.machine_name(tmp_path)
    assert project.machine_name(tmp_path) == name
    assert project.machine_name(tmp_path / "other") != name
    (tmp_path / ".cache" / "store" / "machine").write_text("../../nonsense\n")
    assert project.machine_name(tmp_path) != name
    monkeypatch.setattr("socket.gethostname", lambda: "a copy of the disk")
    (tmp_path / ".cache" / "store" / "machine").write_text(name.split("-")[0] + "\n")
    assert project.machine_name(tmp_path).split("-")[0] == name.split("-")[0]
    assert project.machine_name(tmp_path) != name


def test_all_threads_that_ask_first_get_one_name(tmp_path: Path) -> None:
    names: list[str] = []

    def ask() -> None:
        names.append(project.machine_name(tmp_path))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(names)) == 1


CONTRACT = """\
[tool.lifeboat]
products = ["results/"]
order = ["results/", "models/"]
lock = "requirements.lock"
"""


def test_a_contract_says_what_the_pipeline_writes_for_git_and_what_goes_first(
    tmp_path: Path,
) -> None:
    assert project.contract(tmp_path) == Contract()
    (tmp_path / "pyproject.toml").write_text(CONTRACT)
    found = project.contract(tmp_path)
    products = ("dvc.lock", "runs/1/receipt.json", "results/a.csv", "src/a.py")
    assert [found.is_product(path) for path in products] == [True, True, True, False]
    ranks = [found.rank(path) for path in ("results/a", "models/base/x", "data/traces")]
    assert ranks == [0, 1, found.bulk]
    assert found.lock == "requirements.lock"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("product = []", "unknown keys"),
        ('products = "results/"', "expects a list of texts"),
        ("order = [1]", "expects a list of texts"),
        ("lock = 3", "expects a text"),
        ("products = [", "cannot be read"),
    ],
)
def test_a_contract_that_is_none_is_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.lifeboat]\n{line}\n")
    with pytest.raises(UserError, match=said):
        project.contract(tmp_path)


def test_a_function_of_a_contract_that_is_not_there_is_named() -> None:
    assert project.called("lifeboat.project:called") is project.called
    for name in ("nowhere.at.all:x", "lifeboat.project:nothing", "", "lifeboat.project"):
        with pytest.raises(UserError, match="is no function"):
            project.called(name)


def test_the_project_is_the_one_that_a_folder_lies_in(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert project.nearest(inside) == inside
    (tmp_path / ".dvc").mkdir()
    assert project.nearest(inside) == tmp_path
