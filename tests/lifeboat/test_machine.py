import threading
from pathlib import Path

import pytest

from lifeboat import machine


def test_a_machine_keeps_its_name_and_another_one_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = machine.name(tmp_path)
    assert machine.name(tmp_path) == name
    assert machine.name(tmp_path / "other") != name
    (tmp_path / "machine").write_text("../../nonsense\n")
    assert machine.name(tmp_path) != name
    monkeypatch.setattr("socket.gethostname", lambda: "a copy of the disk")
    (tmp_path / "machine").write_text(name.split("-")[0] + "\n")
    assert machine.name(tmp_path).split("-")[0] == name.split("-")[0]
    assert machine.name(tmp_path) != name


def test_all_threads_that_ask_first_get_one_name(tmp_path: Path) -> None:
    names: list[str] = []
    threads = [
        threading.Thread(target=lambda: names.append(machine.name(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(names)) == 1
