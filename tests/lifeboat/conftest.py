"""Real projects in temporary folders, away from the user's own git and DVC settings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import servers
from repositories import remote_of
from servers import Place

from lifeboat.remotes import remote

DVC_YAML = """\
stages:
  numbers:
    cmd: mkdir -p data/raw/numbers && echo 1 > data/raw/numbers/one && echo 2 > data/raw/numbers/two
    outs:
      - data/raw/numbers
  sum:
    cmd: mkdir -p results/sum && cat data/raw/numbers/* > results/sum/sum.txt
    deps:
      - data/raw/numbers
    outs:
      - results/sum
"""
CONFIG = '[core]\n    check_update = false\n[cache]\n    type = "hardlink,symlink"\n'
CONTRACT = """\
[tool.lifeboat]
products = ["results/", "figures/"]
order = ["results/", "models/", "data/processed/", "data/raw/"]
snapshot = ["params.yaml", "results/summary.json", "results/claims.json"]
"""
IGNORED = "/data/*/*\n!/data/*/*.dvc\n/results/*/\n/logs/\n/.cache/\n.env\n"


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _settings(home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@localhost\n[init]\n\tdefaultBranch = main\n"
    )
    return {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
    }


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "WANDB_", "HF_", "GIT_", "DVC_", "XDG_")):
            monkeypatch.delenv(name)
    # Beside the test's own folder, of which it may expect that nothing else is in it.
    for name, value in _settings(tmp_path.with_name(f"{tmp_path.name}.home")).items():
        monkeypatch.setenv(name, value)


@contextmanager
def _of_a_session(folder: Path) -> Iterator[None]:
    """What is made for all tests of a session is made with settings of its own."""
    before = dict(os.environ)
    os.environ.update(_settings(folder / "home"))
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before['PATH']}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed project of two stages that have run; copy it, don't change it."""
    folder = tmp_path_factory.mktemp("finished")
    root = folder / "project"
    root.mkdir()
    dvc = [sys.executable, "-m", "dvc"]
    with _of_a_session(folder):
        _run(root, "git", "init", "--quiet")
        _run(root, *dvc, "init", "--quiet")
        (root / ".dvc" / "config").write_text(CONFIG)
        (root / "dvc.yaml").write_text(DVC_YAML)
        (root / "pyproject.toml").write_text(CONTRACT)
        (root / "params.yaml").write_text("seed: 1  # of everything\n")
        (root / ".gitignore").write_text(IGNORED)
        _run(root, *dvc, "repro", "--quiet")
        _run(root, "git", "add", "--all")
        _run(root, "git", "commit", "--quiet", "--message", "Start")
    return root


@pytest.fixture
def project(finished_project: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, with a default remote in a folder beside it."""
    root = tmp_path / "project"
    shutil.copytree(finished_project, root, symlinks=True)
    remote = tmp_path / "remote"
    config = (root / ".dvc" / "config").read_text()
    config = config.replace("[core]\n", "[core]\n    remote = local\n")
    config += f"['remote \"local\"']\n    url = {remote}\n"
    (root / ".dvc" / "config").write_text(config)
    _run(root, "git", "commit", "--quiet", "--all", "--message", "A remote")
    return root


@pytest.fixture(scope="session")
def pushed_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, as it is before and after it has a remote; copy them, don't change them."""
    folder = tmp_path_factory.mktemp("repository")
    root, pushed = folder / "repository", folder / "pushed"
    root.mkdir()
    pushed.mkdir()
    with _of_a_session(folder):
        _run(root, "git", "init", "--quiet")
        (root / "code.py").write_text("x = 1\n")
        (root / ".gitignore").write_text(IGNORED)
        _run(root, "git", "add", "--all")
        _run(root, "git", "commit", "--quiet", "--message", "Start")
        shutil.copytree(root, pushed / "repository")
        remote_of(pushed / "repository")
        push = ("push", "--quiet", "--set-upstream", "origin", "main")
        _run(pushed / "repository", "git", *push)
    return folder


@pytest.fixture
def repository(pushed_repository: Path, tmp_path: Path) -> Path:
    """A git repository with one commit and nothing of DVC."""
    root = tmp_path / "repository"
    shutil.copytree(pushed_repository / "repository", root, symlinks=True)
    _run(root, "git", "update-index", "--refresh")
    return root


@pytest.fixture
def there(pushed_repository: Path, repository: Path) -> Path:
    """The remote of `repository`, which has its branch."""
    pushed, there = pushed_repository / "pushed", repository.parent / "there.git"
    shutil.copytree(pushed / there.name, there, symlinks=True)
    shutil.rmtree(repository / ".git")
    shutil.copytree(pushed / "repository" / ".git", repository / ".git", symlinks=True)
    config = repository / ".git" / "config"
    config.write_text(config.read_text().replace(str(pushed / there.name), str(there)))
    _run(repository, "git", "update-index", "--refresh")
    return there


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are on other machines."""
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of moto's S3 server with the bucket `study`; tests share it."""
    with servers.serve("moto", tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of `rclone serve s3` with the bucket `study`; tests share it."""
    with servers.serve("rclone", tmp_path_factory.mktemp("rclone")) as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", *servers.KINDS])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty remote of each kind, its credentials in the environment."""
    if request.param == "folder":
        return Place("folder", str(tmp_path / "place"))
    for name, value in servers.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    endpoint = request.getfixturevalue(f"{request.param}_server")
    return Place(request.param, f"s3://{servers.BUCKET}/{tmp_path.name}", endpoint)


@pytest.fixture
def placed(project: Path, place: Place) -> Path:
    """The finished project, with an empty remote of each kind as its default one."""
    remote.set_default(project, place.url, place.endpoint)
    _run(project, "git", "commit", "--quiet", "--all", "--message", "Another remote")
    return project
