"""PREREG.md: what a study will ask and how it will judge, written before it runs, checked after.

It is made from params.yaml and the code alone. What ran is never refused for differing from it: a
study may have good reasons to. The check says what differs, so that a reader can judge them.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from backtracking.claims import terms
from backtracking.report import hashes
from lifeboat import processes, project
from lifeboat.git import blobs, commit
from lifeboat.items import Item
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

FILE = "PREREG.md"
FROZEN = ("src", "params.yaml", "dvc.yaml")
"""What must be committed before, and what is compared afterwards."""
_PARAMETERS = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMIT = re.compile(r"^Frozen at commit `([0-9a-f]{40})`", re.MULTILINE)

IsExact = Callable[[Mapping[str, Any]], bool]

_LATE = re.compile(r"^These stages had run by then: (.*)\.$", re.MULTILINE)


def write(root: Path, is_exact: IsExact, *, again: bool = False) -> list[Item]:
    """Writes PREREG.md.

    Args:
        root: the project's folder.
        is_exact: whether the domain of such parameters tells a turn by ids alone.
        again: whether one that is there is replaced.

    Raises:
        UserError: where there is one already, where what it freezes is not committed, or where
            params.yaml cannot be read.
    """
    path = root / FILE
    if path.exists() and not again:
        raise UserError(
            f"{FILE} is there already.",
            "`backtracking preregister --check` compares it with what ran; `--again` replaces it, "
            "which git shows.",
        )
    loose = [one for one in commit.changed(root) if one.split("/")[0] in FROZEN]
    head = processes.git_id(root, "HEAD")
    if loose or not head:
        raise UserError(
            f"{', '.join(loose[:3]) or 'The project'} is not committed: no commit would say what "
            "was frozen.",
            "Commit it, then run this again.",
        )
    values = project.read_yaml(root / "params.yaml")
    artifacts.write_text(path, text_of(values, head, began(root, values), is_exact(values)))
    said = [Item(f"{FILE} freezes commit {head[:12]}: commit it before the first stage runs.")]
    if done := began(root, values):
        fact = f"These stages have run already, and it says so: {', '.join(done)}."
        said.append(Item(fact, "warning", "What is known of their results is not foreseen."))
    return said


AFTER = ("stability", "directions", "probe", "lens", "steer", "ablate", "belief", "effects")
"""Stages that read the study's outcome."""


def began(root: Path, values: Mapping[str, Any]) -> list[str]:
    """Those of `AFTER` that have run for this study, or of whose results nothing is recorded.

    Results of another study may lie there: dvc.lock says with which parameters they were made.
    """
    lock = _lock(root)
    recorded, ran = _ran_with(lock), _ran_for(lock, values)
    return [
        stage
        for stage in AFTER
        if stage in ran or (stage not in recorded and (root / "results" / stage).is_dir())
    ]


def _ran_for(lock: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Those of `AFTER` that dvc.lock has of the problems, model and traces of these values.

    What was asked of them may have been something else: its answer is known.
    """
    recorded, studied = _ran_with(lock), (values.get("models") or {}).get("studied")
    data = ("problems", f"weights@{studied}", "traces")
    is_other = any(any(_other(recorded.get(one, {}), values)) for one in data)
    return [] if is_other else [one for one in AFTER if one in recorded]


def _lock(root: Path) -> Mapping[str, Any]:
    path = root / "dvc.lock"
    return project.read_yaml(path) if path.is_file() else {}


def _ran_with(lock: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The parameters that every stage of dvc.lock ran with."""
    return {
        name: (stage.get("params") or {}).get("params.yaml") or {}
        for name, stage in lock.get("stages", {}).items()
    }


def _other(ran: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """What a stage ran with that is other than these values."""
    for key, value in ran.items():
        yield from _differences(_at(values, key), value, key)


def text_of(values: Mapping[str, Any], head: str, done: list[str], is_exact: bool) -> str:
    """The whole page.

    Args:
        values: of params.yaml.
        head: the commit whose code will judge.
        done: stages that have run already.
        is_exact: whether P(backtrack) is read exactly.
    """
    models, contrast = values["models"], values["contrast"]
    studied = models["studied"]
    base = models["roles"][studied]["base"]
    kinds = tuple(" or ".join(contrast[one]) for one in ("negative", "positive"))
    late = f"\nThese stages had run by then: {', '.join(done)}.\n" if done else ""
    parts = [
        "# Preregistration",
        f"Frozen at commit `{head}`, by `backtracking preregister`; the parameters below have "
        f"SHA-256 `{artifacts.sha256_json(values)}`.\n{late}",
        "## Endpoint",
        terms.endpoint(
            studied,
            base,
            (kinds[0], kinds[1]),
            terms.measure_of(is_exact, values["steer"]["drawn"]["n"]),
        ),
        terms.family(),
        "## Nulls and controls",
        "\n".join(_controls(values)),
        "## Sizes",
        "\n".join(_sizes(values)),
        "## Models",
        "\n".join(_models(values)),
        "## Chosen on dev, and not yet known",
        "Layer, window and place, in steps that the parameters list; nothing is chosen on test.",
        "## Parameters",
        f"```yaml\n{_dumped(values)}```",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def check(root: Path, is_exact: IsExact) -> list[Item]:
    """What differs between PREREG.md and what is asked for, what ran, and the code now.

    Args: as in `write`.

    Raises:
        UserError: where there is no PREREG.md, or it is not one of ours.
    """
    path = root / FILE
    if not path.is_file():
        raise UserError(f"There is no {FILE}.", "`backtracking preregister` writes it.")
    text = path.read_text()
    block, frozen = _PARAMETERS.search(text), _COMMIT.search(text)
    if block is None or frozen is None:
        raise UserError(f"{FILE} has no parameters or no commit.", "Restore it from git.")
    then = YAML(typ="safe", pure=True).load(block[1])
    said = [_differing(then, project.read_yaml(root / "params.yaml"))]
    said += _of_stages(root, then)
    return [
        *said,
        _code(root, frozen[1]),
        *_ran_code(root, frozen[1]),
        *_of_git(root, text, frozen[1], is_exact),
        *_before(root, then, text),
    ]


def _of_git(root: Path, text: str, frozen: str, is_exact: IsExact) -> Iterator[Item]:
    """Whether the page is committed, and is what the parameters of its commit give."""
    if processes.git(root, "show", f"HEAD:./{FILE}").stdout != text:
        yield Item(f"{FILE} is not committed as it is.", "wrong", f"Commit it: `git add {FILE}`.")
    shown = processes.git(root, "show", f"{frozen}:./params.yaml")
    if shown.returncode == 0:
        values = YAML(typ="safe", pure=True).load(shown.stdout)
        if text != text_of(values, frozen, _late(text), is_exact(values)):
            fact = f"{FILE} is not what this code writes of commit {frozen[:12]}'s parameters."
            yield Item(
                fact, "wrong", "It was edited, or the code has changed: `git log` says which."
            )


def _before(root: Path, then: Mapping[str, Any], text: str) -> Iterator[Item]:
    """Whether the commit that has the page came before those that recorded the stages."""
    written = processes.git(root, "log", "-1", "--format=%H", "--", FILE).stdout.strip()
    lock = processes.git(root, "show", f"{written}:./dvc.lock") if written else None
    if lock is None or lock.returncode != 0:
        return
    found = _ran_for(YAML(typ="safe", pure=True).load(lock.stdout), then)
    if untold := [one for one in found if one not in _late(text)]:
        fact = f"When {FILE} was committed these stages were recorded: {', '.join(untold)}."
        yield Item(fact, "wrong", _CURE)


def _late(text: str) -> list[str]:
    """The stages that the page says had run."""
    told = _LATE.search(text)
    return told[1].split(", ") if told else []


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> Item:
    rows = list(_differences(then, now))
    if not rows:
        return Item("params.yaml asks for what was preregistered.")
    return Item(f"params.yaml differs from {FILE}: {'; '.join(rows)}.", "wrong", _CURE)


_CURE = "Say why in the report; what was not preregistered is exploratory."


def _of_stages(root: Path, then: Mapping[str, Any]) -> list[Item]:
    """What each stage that dvc.lock records ran with."""
    stages = _ran_with(_lock(root))
    if not stages:
        return [Item("No stage has run yet, by dvc.lock.")]
    said = []
    for name, ran in stages.items():
        if rows := list(_other(ran, then)):
            fact = f"`{name}` ran with something else than {FILE} says: {'; '.join(rows)}."
            said.append(Item(fact, "wrong", _CURE))
    n = len(stages)
    return said or [Item(f"{n} stages of dvc.lock ran with what was preregistered.")]


def _code(root: Path, frozen: str) -> Item:
    """Files of the code that have changed since."""
    found = processes.git(root, "diff", "--name-only", frozen, "--", "src", "dvc.yaml")
    if found.returncode != 0:
        fact = f"The commit that {FILE} names, {frozen[:12]}, is not in this clone."
        return Item(fact, "wrong", "Fetch it: `git fetch --unshallow`.")
    files = found.stdout.split()
    if not files:
        return Item(f"The code is that of commit {frozen[:12]}.")
    rooms = sorted({"/".join(name.split("/")[:3]) for name in files})
    return Item(
        f"The code differs from commit {frozen[:12]} in {', '.join(rooms)}.", "wrong", _CURE
    )


def _ran_code(root: Path, frozen: str) -> Iterator[Item]:
    """Whether each stage that dvc.lock records ran the code of a commit, by the hashes there."""
    stages = _lock(root).get("stages", {})
    ran: dict[tuple[str, str], list[str]] = {}
    for name, stage in stages.items():
        for one in stage.get("deps") or ():
            if one["path"].startswith("src/") and "md5" in one:
                ran.setdefault((one["path"], one["md5"]), []).append(name)
    then = _hashes(root, frozen, sorted({path for path, _ in ran}))
    if not then:
        return
    other = [
        f"{path} ({', '.join(names)})"
        for (path, md5), names in sorted(ran.items())
        if md5 != then.get(path)
    ]
    if other:
        fact = f"What dvc.lock records ran with other code than commit {frozen[:12]}: "
        yield Item(f"{fact}{'; '.join(other)}.", "wrong", _CURE)
    else:
        yield Item(f"What dvc.lock records ran with the code of commit {frozen[:12]}.")


def _hashes(root: Path, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """What DVC would say of files and folders as a commit has them; of those that it has."""
    files = blobs.of_tree(root, commit, paths) if paths else ()
    md5_by_path = {
        one.path: hashes.of_bytes(one.content) for one in files if one.content is not None
    }
    found = {path: md5 for path, md5 in md5_by_path.items() if path in paths}
    for folder in paths:
        inside = {
            path.removeprefix(f"{folder}/"): md5
            for path, md5 in md5_by_path.items()
            if path.startswith(f"{folder}/")
        }
        if inside:
            found[folder] = hashes.of_folder(inside)
    return found


def _differences(then: Any, now: Any, name: str = "") -> Iterator[str]:
    """Each value that is another, by its dotted name."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}, key=str):
            inner = f"{name}.{key}" if name else str(key)
            yield from _differences(then.get(key, _NOTHING), now.get(key, _NOTHING), inner)
    elif then != now:
        yield f"`{name}` was {_told(then)}, is {_told(now)}"


_NOTHING = "nothing"


def _told(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part, _NOTHING) if isinstance(values, dict) else _NOTHING
    return values


def _controls(values: Mapping[str, Any]) -> list[str]:
    said = [f"- `{one}`: {why}." for one, why in terms.nulls(values["steer"]["n_null"]).items()]
    models, known = values["models"], values["known"]
    said += [f"- `{claim}` of `{role}` must hold." for role, claim in known["must_hold"]]
    less = [f"the direction of `{one}`" for one in _further(models["roles"])]
    less += [f"the control `{one}` without training" for one in values["directions"]["controls"]]
    said += [f"- {one} has to move `{models['studied']}` less than its base's." for one in less]
    for role, row in models["roles"].items():
        if row["base"] and role != models["studied"]:
            fails = [claim for of, claim in known["must_fail"] if of == role]
            told = f"`{'`, `'.join(fails)}` must fail" if fails else "by its recipe, or informative"
            said.append(f"- pair `{role}` beside `{row['base']}`: {told}.")
    return said


def _further(roles: Mapping[str, Any]) -> list[str]:
    """Bases that are in no pair."""
    paired = {row["base"] for row in roles.values()}
    return [role for role, row in roles.items() if not row["base"] and role not in paired]


def _sizes(values: Mapping[str, Any]) -> list[str]:
    problems, traces, steer = values["problems"], values["traces"], values["steer"]
    shares = zip(("train", "dev", "test"), problems["split_shares"], strict=True)
    counts = ", ".join(f"about {problems['n_study'] * share:.0f} {name}" for name, share in shares)
    return [
        f"- {problems['n_study']} problems: {counts}; split by hash.",
        f"- {traces['n_samples']} traces of each, at temperature {traces['temperature']:g}, of at "
        f"most {traces['max_new_tokens']} tokens; {steer['n_samples']} of a test problem steered.",
        f"- doses {', '.join(f'{one:g}' for one in steer['doses'])}; {steer['n_random']} random "
        f"directions; {steer['n_retrained']} estimates from train problems drawn anew.",
        f"- {values['statistics']['n_resamples']} resamples by problem at level "
        f"{values['statistics']['level']:g}.",
    ]


def _models(values: Mapping[str, Any]) -> list[str]:
    rows = ((role, values["weights"][role]) for role in values["models"]["roles"])
    return [
        f"- `{role}`: {one['source']}, {one.get('revision') or 'made here or copied'}."
        for role, one in rows
    ]


def _dumped(values: Mapping[str, Any]) -> str:
    written = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(dict(values), written)
    return written.getvalue()
