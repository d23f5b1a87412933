import os
from pathlib import Path

import pytest

from lifeboat.doctor import links
from lifeboat.doctor.links import Links

BOTH = frozenset({"hardlink", "symlink"})
OURS = ("hardlink", "symlink")


def refuse(*_arguments: object, **_options: object) -> None:
    raise OSError("no links here")


def test_the_links_of_a_project_are_really_tried(project: Path) -> None:
    before = sorted(project.iterdir())
    found = links.look(project)
    assert found == Links(project / ".dvc" / "cache", OURS, BOTH)
    assert (found.used, found.n_copies, found.n_shard_copies) == ("hardlink", 1, 1)
    assert links.item(found).verdict == "ok"
    assert sorted(project.iterdir()) == before
    assert not list((project / ".dvc" / "cache").glob("*.*"))


@pytest.mark.parametrize(
    ("configured", "works", "used", "n_copies", "n_shard_copies"),
    [
        (OURS, frozenset({"symlink"}), "symlink", 1, 2),
        (OURS, frozenset(), "copy", 2, 3),
        (("copy",), BOTH, "copy", 2, 2),
        (("reflink", "hardlink"), BOTH, "copy", 2, 2),
        (("symlink", "hardlink"), BOTH, "symlink", 1, 1),
    ],
)
def test_the_first_kind_that_works_decides_how_many_copies_there_are(
    configured: tuple[str, ...],
    works: frozenset[str],
    used: str,
    n_copies: int,
    n_shard_copies: int,
) -> None:
    found = Links(Path("/cache"), configured, works)
    assert (found.used, found.n_copies, found.n_shard_copies) == (used, n_copies, n_shard_copies)
    item = links.item(found)
    assert (item.verdict, bool(item.cure)) == (
        ("ok", False) if n_copies == 1 else ("warning", True)
    )


def test_a_file_system_without_links_is_seen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse)
    assert links.look(project).used == "symlink"
    monkeypatch.setattr(os, "symlink", refuse)
    item = links.item(links.look(project))
    assert (item.verdict, "every result is there twice" in item.fact) == ("warning", True)


def test_a_type_that_copies_is_named(project: Path) -> None:
    config = project / ".dvc" / "config"
    config.write_text(config.read_text().replace('"hardlink,symlink"', "copy"))
    item = links.item(links.look(project))
    assert "cache type is copy" in item.fact
    assert "hardlink,symlink" in item.cure
