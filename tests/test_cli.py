import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from command_lines import blocks_of, commands, parse, spans_of
from typer import BadParameter

from backtracking import PROJECT_ROOT, cli
from backtracking.report import readme
from backtracking.runtime import cluster, profile
from lifeboat.cli import verbs
from lifeboat.doctor import doctor
from lifeboat.items import Item
from lifeboat.running import reproduce
from lifeboat.saving import push, snapshot
from lifeboat.stage.errors import UserError

VERBS = (
    ["doctor"],
    ["smoke"],
    ["extract"],
    ["bench-directions"],
    ["label"],
    ["learn-labels"],
    ["bench-labels"],
    ["audit"],
    ["show"],
    ["track"],
    ["real-traces"],
    ["preregister"],
    ["snapshot"],
    ["log"],
    ["push"],
    ["backup"],
    ["reproduce"],
    ["remote", "set"],
    ["profile", "list"],
    ["profile", "show"],
    ["profile", "diff"],
    ["profile", "pin"],
    ["profile", "use"],
    ["store", "prune"],
    ["store", "import"],
)


def run(*arguments: str, root: Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(root), *arguments])
    return int(ended.value.code or 0)


def answering(*items: Item) -> Callable[..., list[Item]]:
    return lambda *_arguments, **_options: list(items)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*verb, "--help", root=tmp_path) == 0
    assert "Usage: backtracking" in capsys.readouterr().out


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys\nfrom backtracking import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "heavy = {'torch', 'dvc', 'transformers', 'wandb', 'numpy', 'detect_secrets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


def test_wrong_use_is_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("docto", root=tmp_path) == 2
    assert run("doctor", "--loud", root=tmp_path) == 2
    assert run("profile", "use", root=tmp_path) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_proven_is_zero_and_what_is_not_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = Item("It may rain.", "warning", "Take a coat.")
    monkeypatch.setattr(doctor, "examine", answering(Item("Fine."), warning))
    assert run("doctor", root=tmp_path) == 0
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "ok       Fine.",
        "warning  It may rain.",
        "         -> Take a coat.",
    ]
    monkeypatch.setattr(doctor, "examine", answering(warning, Item("Broken.", "wrong", "Mend it.")))
    assert run("doctor", root=tmp_path) == 1
    assert "WRONG    Broken.\n         -> Mend it.\n" in capsys.readouterr().out


def test_json_is_one_object_with_fact_verdict_and_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", answering(Item("Broken.", "wrong", "Mend it.")))
    assert run("doctor", "--json", root=tmp_path) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "command": "doctor",
        "items": [{"fact": "Broken.", "verdict": "wrong", "cure": "Mend it."}],
    }


def test_an_error_is_one_paragraph_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object) -> list[Item]:
        raise UserError("Expected three, found two.", "Add one.")

    monkeypatch.setattr(profile, "use", fail)
    assert run("profile", "use", "tiny", root=tmp_path) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: Expected three, found two. Add one.\n"
    assert not captured.out
    assert run("profile", "use", "tiny", "--json", root=tmp_path) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["items"][0]["fact"] == "Expected three, found two. Add one."


def test_an_interruption_is_seventy_five(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_arguments: object) -> list[Item]:
        raise KeyboardInterrupt

    monkeypatch.setattr(push, "push", interrupt)
    assert run("push", root=tmp_path) == 75
    assert "Run the same command again" in capsys.readouterr().err


def test_reproduce_hands_arguments_on_and_its_code_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def fake(_root: Path, arguments: list[str]) -> reproduce.Outcome:
        seen.append(arguments)
        return reproduce.Outcome({"steer": 12.34}, [Item("Interrupted.", "wrong")], 75)

    monkeypatch.setattr(reproduce, "reproduce", fake)
    assert run("reproduce", "steer", "--force", "-s", root=tmp_path) == 75
    assert seen == [["steer", "--force", "-s"]]
    assert capsys.readouterr().out == "     12.3 s  steer\nWRONG    Interrupted.\n"


def test_what_only_lists_is_not_marked_as_checked(capsys: pytest.CaptureFixture[str]) -> None:
    verbs.show([Item("one"), Item("two", "warning", "`lifeboat x`")], plain=True)
    assert capsys.readouterr().out == f"one\nwarning  two.\n         -> `{verbs.state.command} x`\n"


def test_reproduce_gives_stages_a_cluster_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []

    def fake(_root: Path, arguments: list[str]) -> reproduce.Outcome:
        seen.extend([arguments, os.environ[cluster.VARIABLE]])
        return reproduce.Outcome({}, [], 0)

    monkeypatch.setattr(reproduce, "reproduce", fake)
    monkeypatch.setenv(cluster.VARIABLE, "")
    assert run("reproduce", "--ray", "127.0.0.1:1", "steer", root=tmp_path) == 1
    assert "'127.0.0.1:1' could not be reached" in capsys.readouterr().err
    monkeypatch.setattr(cluster, "connected", lambda: nullcontext(MagicMock()))
    assert run("reproduce", "--ray", "HOST:6379", "-s", "steer", root=tmp_path) == 0
    assert seen == [["-s", "steer"], "HOST:6379"]


def test_no_secret_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fact = "The remote is https://me:" + "pa55word@host/x."
    monkeypatch.setattr(snapshot, "take", answering(Item(fact)))
    assert run("snapshot", root=tmp_path) == 0
    assert run("snapshot", "--json", root=tmp_path) == 0
    assert "pa55word" not in capsys.readouterr().out


def test_accounts_of_the_env_file_are_there_for_every_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "WANDB_PROJECT": ""})
    (tmp_path / ".env").write_text("WANDB_PROJECT=" + "from a file\n")
    seen: list[str] = []

    def look(_root: Path) -> list[Item]:
        seen.append(os.environ["WANDB_PROJECT"])
        return []

    monkeypatch.setattr(doctor, "examine", look)
    run("doctor", root=tmp_path)
    assert seen == ["from a file"]


PAGES = [PROJECT_ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += sorted([*(PROJECT_ROOT / "docs").glob("*.md"), *(PROJECT_ROOT / "reports").glob("*.md")])
TEXT_BY_PAGE = {path.name: readme.prose(path.read_text()) for path in PAGES}


@pytest.mark.parametrize("name", TEXT_BY_PAGE)
def test_every_command_of_a_page_parses(name: str) -> None:
    """In a line a verb may stand without what it is given, or with a word for a number."""
    for words in (words for block in blocks_of(TEXT_BY_PAGE[name]) for words in commands(block)):
        parse(words)
    for span in spans_of(TEXT_BY_PAGE[name]):
        for words in commands(span) if span.startswith("backtracking ") and "[" not in span else []:
            with suppress(BadParameter):
                parse(words)


def test_the_targets_of_all_pages_are_in_the_makefile() -> None:
    said = "\n".join(
        text for page in TEXT_BY_PAGE.values() for text in (*blocks_of(page), *spans_of(page))
    )
    wanted = set(re.findall(r"(?m)(?:^|&& )make ([a-z-]+)", said))
    made = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text()))
    assert {"reproduce", "test", "backup"} <= wanted <= made
