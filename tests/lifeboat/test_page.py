"""docs/operations.md: what is typed from it at night has to be right."""

import json
import re
import shlex
import subprocess

import pytest
from command_lines import blocks_of, commands, parse, spans_of

from backtracking import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "operations.md").read_text()
BLOCKS, SPANS = blocks_of(PAGE), spans_of(PAGE)

COMMANDS = [words for text in (*BLOCKS, *SPANS) for words in commands(text)]
WATCH_OPTIONS = [shlex.split(span) for span in SPANS if span.startswith("--")]


def test_the_page_speaks_of_every_verb_that_saves_work() -> None:
    verbs = {words[0] for words in COMMANDS}
    assert {"backup", "verify", "restore", "watch", "log", "remote"} <= verbs


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_a_command_of_the_page_parses(words: list[str]) -> None:
    parse(words)


RAY = [line.split("#")[0].split() for block in BLOCKS for line in block.splitlines()] + [
    span.split() for span in SPANS
]


@pytest.mark.parametrize("words", [one[1:] for one in RAY if one[:1] == ["ray"]], ids=shlex.join)
def test_a_command_of_ray_parses(words: list[str]) -> None:
    from ray.scripts.scripts import cli as ray_commands

    command = ray_commands.commands[words[0]]
    command.make_context(words[0], words[1:])


def test_what_does_not_exist_does_not_parse() -> None:
    for words in (["backupp"], ["backup", "--soon"], ["verify", "--deep", "--deep=3"]):
        with pytest.raises(Exception, match=r"No such|does not take"):
            parse(words)


@pytest.mark.parametrize("options", WATCH_OPTIONS, ids=shlex.join)
def test_the_options_that_a_place_asks_for_exist(options: list[str]) -> None:
    if options[0] not in ("--signal", "--endpoint"):
        parse(["watch", *options])


def test_the_targets_of_the_page_are_in_the_makefile() -> None:
    wanted = set(re.findall(r"(?m)(?:^|&& |`)make ([a-z-]+)", PAGE))
    made = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text()))
    assert wanted
    assert wanted <= made


def test_the_scripts_of_the_page_are_shell() -> None:
    for block in BLOCKS:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_the_rules_for_the_bucket_are_the_ones_that_abort_uploads() -> None:
    (text,) = re.findall(r"--lifecycle-configuration '(.*?)'", PAGE, re.DOTALL)
    rules = {rule["ID"]: rule for rule in json.loads(text)["Rules"]}
    assert rules["abort-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert all(rule["Status"] == "Enabled" and "Filter" in rule for rule in rules.values())
    assert not any("Expiration" in rule for rule in rules.values())


def test_what_the_page_links_to_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGE):
        assert (PROJECT_ROOT / "docs" / target).exists(), target
