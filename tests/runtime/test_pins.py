from pathlib import Path

import pytest

from backtracking.runtime import pins
from backtracking.runtime.command import run_stage

COMMIT = "a" * 40


def write(root: Path, source: str, revision: str) -> Path:
    path = root / "params.yaml"
    path.write_text(
        "models: {roles: {base: {}}}\n"
        f"weights: {{base: {{source: {source}, revision: {revision}}}}}\n"
    )
    return path


@pytest.mark.parametrize(
    "source", ["train", "models/base", "data/raw/base", "given/model.gguf", "package:a/b"]
)
def test_only_ids_of_the_hub_have_to_be_pinned(tmp_path: Path, source: str) -> None:
    pins.require(write(tmp_path, source, "null"))


def test_a_folder_that_is_there_is_no_id(tmp_path: Path) -> None:
    path = write(tmp_path, "given/base", "null")
    assert [one.source for one in pins.hosted(path)] == ["given/base"]
    (tmp_path / "given" / "base").mkdir(parents=True)
    assert pins.hosted(path) == []


@pytest.mark.parametrize("revision", ["null", "main", "abc1234"])
def test_what_may_move_is_refused_before_any_stage_begins(
    tmp_path: Path, revision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "lab/model", revision)
    with pytest.raises(SystemExit) as ended:
        run_stage(lambda *_: pytest.fail("it began"), ["--root", str(tmp_path)])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    lack = "has no `revision`" if revision == "null" else f"has the `revision` {revision}, which"
    assert f"`weights.base`: lab/model {lack}" in said and "Pin the commit" in said


def test_a_whole_commit_is_accepted(tmp_path: Path) -> None:
    pins.require(write(tmp_path, "lab/model", COMMIT))
