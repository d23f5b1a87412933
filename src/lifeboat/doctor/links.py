"""Whether a file in DVC's cache and the same file in the workspace are one copy; really tried."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from lifeboat.items import Item
from lifeboat.remotes.remote import configuration
from lifeboat.stage.abilities import existing


@dataclass(frozen=True)
class Links:
    """How DVC's cache and the workspace share bytes.

    Attributes:
        cache: DVC's cache folder.
        configured: kinds in the order in which DVC tries them.
        works: kinds of link that could be made from the cache into the workspace.
    """

    cache: Path
    configured: tuple[str, ...]
    works: frozenset[str]

    @property
    def used(self) -> str:
        """The first kind that works; `copy` where none does, and for reflinks.

        Where a reflink is not possible DVC copies and does not say so.
        """
        return next(
            (kind for kind in self.configured if kind in (*self.works, "reflink")), "copy"
        ).replace("reflink", "copy")

    @property
    def n_copies(self) -> int:
        """Copies on the disk of an out that is committed to the cache."""
        return 2 if self.used == "copy" else 1

    @property
    def n_shard_copies(self) -> int:
        """Copies of a shard, which stands in the store as well: linked into its out, or copied."""
        return self.n_copies if "hardlink" in self.works else self.n_copies + 1


def look(root: Path) -> Links:
    """The links of a project, after trying each kind as DVC does.

    Raises:
        UserError: where DVC's configuration cannot be read.
    """
    from dvc_objects.fs.generic import test_links
    from dvc_objects.fs.local import localfs

    config = configuration(root)["cache"]
    cache = Path(config.get("dir") or root / ".dvc" / "cache")
    kinds = tuple(config.get("type") or ("reflink", "copy"))
    works: list[str] = []
    with contextlib.suppress(OSError):
        target = str(root / "probe")  # beside which it is tried
        works = test_links(["hardlink", "symlink"], localfs, str(existing(cache)), localfs, target)
    return Links(cache, kinds, frozenset(works))


def item(links: Links) -> Item:
    """Whether results take their bytes once or twice."""
    if links.used != "copy":
        kind = {"hardlink": "Hard links", "symlink": "Symbolic links"}[links.used]
        return Item(f"{kind} work between DVC's cache and the workspace: no second copy.")
    if "hardlink" not in links.configured:
        fact = f"DVC's cache type is {','.join(links.configured)}: every result is there twice."
        return Item(fact, "warning", "Run `dvc config cache.type hardlink,symlink`.")
    fact = f"No links between {links.cache} and the workspace: every result is there twice."
    return Item(fact, "warning", "Put both on one file system (`dvc cache dir`).")
