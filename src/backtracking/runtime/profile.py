"""Another study: an overlay of configs/ merged into params.yaml, comments and order kept.

The models of a study are data: an overlay may add a role, with its section of weights, and take one
away by null. Later stages read all of models/ and of the activations, so folders of roles that are
gone are moved out of there.
"""

import contextlib
import difflib
import io
import itertools
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from backtracking.runtime import params
from lifeboat import processes
from lifeboat.items import Item
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

_WEIGHTS = "weights."
_BY_ROLE = ("models.roles.", _WEIGHTS)
"""Sections with an entry for each role, which are not the same in every study."""

BACK = (
    "`git diff params.yaml` shows them, and `git checkout params.yaml` undoes it. Once stages have "
    "run, dvc.lock, results/ and figures/ are of the overlay too, and are so until `make "
    "reproduce` (docs/guide.md, There and back)."
)


def names(root: Path) -> list[str]:
    """The overlays that there are."""
    return sorted(path.stem for path in (root / "configs").glob("*.yaml"))


def find(root: Path, name: str) -> dict[str, Any]:
    """The values of an overlay.

    Raises:
        UserError: where there is none of this name, or it cannot be read.
    """
    if name not in names(root):
        close = difflib.get_close_matches(name, names(root), n=1)
        nearest = f"Did you mean `{close[0]}`?" if close else f"There are: {_list(names(root))}."
        raise UserError(f"There is no overlay configs/{name}.yaml.", nearest)
    return params.read(root / "configs" / f"{name}.yaml")


def about(root: Path, name: str) -> str:
    """What an overlay says of itself: the comment that it begins with, in one line."""
    lines = (root / "configs" / f"{name}.yaml").read_text().splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("# "), lines)
    return " ".join(line.removeprefix("# ").strip() for line in comment)


def values_of(root: Path, name: str) -> dict[str, Any]:
    """All parameters as they would be under an overlay; nothing is written.

    One that params.yaml does not take as it is lies over the last committed one that does.

    Raises:
        UserError: where there is none such, or the overlay cannot be read.
    """
    overlay, source = find(root, name), f"configs/{name}.yaml"
    try:
        text, _ = merged((root / "params.yaml").read_text(), overlay, source)
    except UserError:
        if (fitting := _fitting(root, overlay)) is None:
            raise
        text, _ = merged(fitting[1], overlay, source)
    return YAML(typ="safe", pure=True).load(text)


def _laid(root: Path, name: str) -> tuple[str, list[str]]:
    """What params.yaml becomes under an overlay, and the names that change."""
    overlay, text = find(root, name), (root / "params.yaml").read_text()
    try:
        return merged(text, overlay, f"configs/{name}.yaml")
    except UserError as error:
        if (fitting := _fitting(root, overlay)) is None:
            raise
        cure = f"`git checkout {fitting[0][:12]} -- params.yaml`"
        raise UserError(
            str(error), f"params.yaml is of another study: {cure} brings back one that takes it."
        ) from None


N_BEFORE = 20
"""Committed versions of params.yaml, from the last, that are tried."""


def _fitting(root: Path, overlay: dict[str, Any]) -> tuple[str, str] | None:
    """The last commit whose params.yaml takes an overlay, and that file; None where none does."""
    commits = processes.git(root, "log", f"-{N_BEFORE}", "--format=%H", "--", "params.yaml").stdout
    for commit in commits.split():
        text = processes.git(root, "show", f"{commit}:./params.yaml").stdout
        with contextlib.suppress(UserError):
            merged(text, overlay, commit)
            return commit, text
    return None


def difference(root: Path, name: str) -> list[Item]:
    """What an overlay would change in params.yaml, a line each; nothing is written.

    Raises:
        UserError: as `use`.
    """
    now = params.read(root / "params.yaml")
    _, changed = _laid(root, name)
    if not changed:
        return [Item(f"params.yaml has every value of configs/{name}.yaml already.")]
    then = values_of(root, name)
    return [Item(f"`{one}`: {_told(now, one)} -> {_told(then, one)}") for one in changed]


def _told(values: dict[str, Any], name: str) -> str:
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return "nothing"
        found = found[part]
    return repr(found)


def use(root: Path, name: str) -> list[Item]:
    """Merges an overlay into params.yaml: mappings by key, everything else replaced as a whole.

    The weights of a role, too, are replaced as a whole where the overlay gives them a `source` and
    keys that another kind of source has.

    Folders of models that are no role of the study any more are put away.

    Raises:
        UserError: for an overlay that does not exist, for a key that params.yaml does not have,
            for a mapping where params.yaml has a value or the other way round; nothing is written,
            and where a committed params.yaml takes the overlay, the error says how to have it back.
    """
    path = root / "params.yaml"
    params.read(path)
    after, changed = _laid(root, name)
    if not changed:
        told = [Item(f"params.yaml has every value of configs/{name}.yaml already.")]
    else:
        artifacts.write_text(path, after)
        fact = f"{len(changed)} values of configs/{name}.yaml went into params.yaml."
        told = [Item(fact, "ok", BACK)]
    return told + put_away(root)


def put_away(root: Path) -> list[Item]:
    """Moves the folders of models that are no role of the study to .cache/aside.

    A later stage depends on all of models/ and of the activations: a folder of a role that is gone
    would make it run again. What a .dvc file holds stays.
    """
    models = params.read(root / "params.yaml").get("models")
    roles = set(models["roles"]) if isinstance(models, dict) and "roles" in models else set[str]()
    told = []
    for inside in (Path("models"), Path("data/interim/activations")) if roles else ():
        for folder in sorted((root / inside).glob("[!.]*/")):
            is_tracked = folder.with_name(f"{folder.name}.dvc").exists()
            if folder.name not in roles and not is_tracked:
                target = _free(root / ".cache" / "aside" / inside / folder.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                artifacts.move(folder, target)
                fact = f"{inside / folder.name} belongs to no role: moved to"
                told.append(Item(f"{fact} {target.relative_to(root)}.", "ok"))
    return told


def _free(path: Path) -> Path:
    """The path, or where it is taken, the first with a number behind it that is not."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.exists())


def merged(text: str, overlay: dict[str, Any], source: str) -> tuple[str, list[str]]:
    """The text of a parameter file with an overlay's values, and the dotted names that changed.

    Args:
        text: the parameter file.
        overlay: values by key, nested.
        source: what to call the overlay in an error.
    """
    yaml = _round_trip(text)
    try:
        target = yaml.load(text)
    except YAMLError as error:
        raise UserError(f"params.yaml is not YAML: {' '.join(str(error).split())}.") from None
    changed = _merge(target, overlay, "", source)
    written = io.StringIO()
    yaml.dump(target, written)
    return written.getvalue(), changed


def _round_trip(text: str) -> YAML:
    yaml, offset = YAML(), _offset(text)
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    return yaml


def _offset(text: str) -> int:
    """How far the first list of lines stands to the right of its key; 0 where there is none yet."""
    key = 0
    for line in text.splitlines():
        plain = line.lstrip()
        if plain.startswith("- "):
            return max(0, len(line) - len(plain) - key)
        if plain and plain[0] != "#":
            key = len(line) - len(plain)
    return 0


class _Representer(RoundTripRepresenter):
    """Writes `null` for nothing, as people do, and not an empty place."""

    def represent_none(self, data: None) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def _merge(target: Any, overlay: dict[str, Any], inside: str, source: str) -> list[str]:
    changed = []
    for key, value in overlay.items():
        name = f"{inside}{key}"
        if inside in _BY_ROLE and (value is None or key not in target):
            if _add_or_remove(target, key, value, name, source):
                changed.append(name)
            continue
        if key not in target:
            close = difflib.get_close_matches(str(key), [str(known) for known in target], n=1)
            nearest = f"Did you mean `{inside}{close[0]}`?" if close else _valid(target)
            raise UserError(f"{source}: params.yaml has no key `{name}`.", nearest)
        old = target[key]
        if inside in _BY_ROLE and _is_another_kind(old, value):
            if old != value:
                target[key] = CommentedMap(value)
                changed.append(name)
        elif isinstance(old, dict) and isinstance(value, dict):
            changed += _merge(old, value, f"{name}.", source)
        elif isinstance(old, dict) or (isinstance(value, dict) and old is not None):
            raise UserError(
                f"{source}: `{name}` is {_kind(value)}, and in params.yaml it is {_kind(old)}.",
                "An overlay has the shape of params.yaml.",
            )
        elif old != value or isinstance(old, bool) != isinstance(value, bool):
            _replace(target, key, value)
            changed.append(name)
    return changed


def _is_another_kind(old: Any, value: Any) -> bool:
    """Whether a role's model has another kind of source, with other keys: all are replaced."""
    is_whole = isinstance(old, dict) and isinstance(value, dict) and "source" in value
    return is_whole and not set(value) <= set(old)


def _add_or_remove(target: Any, key: str, value: Any, name: str, source: str) -> bool:
    """Adds what a role has, or takes it away; whether there was anything to do."""
    others = [one for one in target.values() if isinstance(one, CommentedMap)]
    if value is None and (key not in target or target[key] in others):
        return target.pop(key, None) is not None
    like = next((one for one in others if isinstance(value, dict) and set(one) == set(value)), None)
    if like is None and name.startswith(_WEIGHTS) and isinstance(value, dict) and "source" in value:
        target[key] = CommentedMap(value)
        return True
    if like is None:
        close = difflib.get_close_matches(str(key), [str(known) for known in target], n=1)
        nearest = f"Did you mean `{close[0]}`?" if close else _valid(target)
        raise UserError(
            f"{source}: `{name}` is new, and has not the keys of the others.",
            f"{nearest} A new role has {_list([str(one) for one in others[-1]])}.",
        )
    target[key] = CommentedMap(value)
    if like.fa.flow_style():
        target[key].fa.set_flow_style()
    return True


def _replace(target: Any, key: Any, value: Any) -> None:
    old = target[key]
    if isinstance(old, CommentedSeq) and isinstance(value, list):
        old[:] = value  # in place, so that its style and the comment behind it stay
    elif isinstance(value, list):
        target[key] = CommentedSeq(value)
        target[key].fa.set_flow_style()
    else:
        target[key] = value


def _kind(value: Any) -> str:
    return "a section" if isinstance(value, dict) else f"the value {value!r}"


def _valid(target: Any) -> str:
    return f"Valid keys: {', '.join(str(key) for key in target)}."


def _list(found: list[str]) -> str:
    return ", ".join(found) or "none"
