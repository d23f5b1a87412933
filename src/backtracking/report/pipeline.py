"""The pipeline as a picture in text, from dvc.yaml."""

from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML


def draw_pipeline(text: str) -> str:
    """A mermaid graph of the stages: an edge where a stage reads what another writes.

    Edges that a longer path implies are left out. A matrix stage is one box.

    Args:
        text: the contents of dvc.yaml.
    """
    stages = YAML(typ="safe", pure=True).load(text)["stages"]
    sources_by_stage = {name: _sources(name, stages) for name in stages}
    edges = [
        f"  {source} --> {name}"
        for name, sources in sources_by_stage.items()
        for source in sources
        if not any(source in _ancestors(other, sources_by_stage) for other in sources)
    ]
    joined = {name for edge in edges for name in edge.strip().split(" --> ")}
    alone = [f"  {name}" for name in stages if name not in joined]
    return "\n".join(["```mermaid", "graph LR", *edges, *alone, "```"])


def _sources(name: str, stages: Mapping[str, Any]) -> list[str]:
    """The stages that write what one reads, for every value of its matrix."""
    found: set[str] = set()
    for dependency in _dependencies(stages[name]):
        for matches in (_is_inside, _may_be_inside):
            writers = {
                other
                for other in stages
                if any(matches(dependency, o) for o in _outs(stages[other]))
            }
            if writers:
                found |= writers
                break
    return [other for other in stages if other in found - {name}]


def _dependencies(stage: Mapping[str, Any]) -> Iterable[str]:
    """What a stage reads, with each value of its matrix in the place of `${item.<key>}`."""
    for dependency in stage["deps"]:
        named = [dependency]
        for key, values in stage.get("matrix", {}).items():
            place = f"${{item.{key}}}"
            named = [one.replace(place, str(value)) for one in named for value in values]
        yield from named


def _outs(stage: Mapping[str, Any]) -> Iterable[str]:
    for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
        yield next(iter(out)) if isinstance(out, dict) else out


def _is_inside(dependency: str, out: str) -> bool:
    return f"{dependency}/".startswith(f"{out}/")


def _may_be_inside(dependency: str, out: str) -> bool:
    """Whether a dependency can lie in an out when `${...}` in it is any one name."""
    named, written = dependency.split("/"), out.split("/")
    same = (a == b or "${" in b for a, b in zip(named, written, strict=False))
    return len(named) >= len(written) and all(same)


def _ancestors(name: str, sources_by_stage: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    pending = list(sources_by_stage[name])
    while pending:
        source = pending.pop()
        if source not in found:
            found.add(source)
            pending += sources_by_stage[source]
    return found
