import sys
from importlib import metadata
from pathlib import Path

import pytest

from lifeboat.doctor import environment


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(
        f"pytest=={metadata.version('pytest')} \\\n    --hash=sha256:00\n    # via here\n"
        f"typing_extensions=={metadata.version('typing_extensions')} ; python_version >= '3' \\\n"
        "    --hash=sha256:00\nnever==1.0 ; sys_platform == 'nowhere' \\\n    --hash=sha256:00\n"
    )
    return path


def test_the_pinned_set_is_what_applies_to_this_machine(lock: Path) -> None:
    assert list(environment.pinned(lock)) == ["pytest", "typing-extensions"]


def test_an_environment_as_pinned_is_fine(lock: Path) -> None:
    item = environment.packages_item(lock.parent, lock.name, "make install")
    assert (item.verdict, item.fact[:21]) == ("ok", "All 2 pinned packages")


def test_another_version_is_a_warning_and_a_missing_package_is_wrong(lock: Path) -> None:
    text = lock.read_text()
    lock.write_text(text.replace("pytest==", "pytest==0."))
    item = environment.packages_item(lock.parent, lock.name, "make install")
    assert item.verdict == "warning"
    assert "pytest" in item.fact
    lock.write_text(text + "not-there-at-all==1.0\n")
    item = environment.packages_item(lock.parent, lock.name, "make install")
    assert item.verdict == "wrong"
    assert "not-there-at-all" in item.fact
    lock.unlink()
    assert environment.packages_item(lock.parent, lock.name, "make install").verdict == "wrong"


def test_another_environment_than_the_projects_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.venv_item(tmp_path).verdict == "warning"
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert environment.venv_item(tmp_path).verdict == "ok"


def test_an_env_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    assert "no .env" in environment.dotenv_item(tmp_path).fact
    (tmp_path / ".env").write_text("A=b\n")
    (tmp_path / ".env").chmod(0o644)
    assert environment.dotenv_item(tmp_path).verdict == "warning"
    (tmp_path / ".env").chmod(0o600)
    assert environment.dotenv_item(tmp_path).verdict == "ok"
