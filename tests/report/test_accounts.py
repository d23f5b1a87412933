from pathlib import Path

import pytest

from backtracking.report import accounts


def test_the_key_of_the_tracking_is_told_of_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (item,) = accounts.checks(tmp_path, None)
    assert "tracking is off" in item.fact
    monkeypatch.setenv("WANDB_API_KEY", "a-key-for-tests")
    (item,) = accounts.checks(tmp_path, None)
    assert "tracking is on" in item.fact
    assert "a-key" not in str(item)
