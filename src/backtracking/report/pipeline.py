"""The pipeline as a picture in text, from dvc.yaml."""

from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML


def draw_pipeline(text: str) -> str:
    """A mermaid graph of the stages: an edge where a stage reads what another writes.

    Edges that a longer path implies are left out. A stage for each role is one box, and what it
    starts from, which is another role's model or the problems, is no edge.

    Args:
        text: the contents of dvc.yaml.
    """
    written = YAML(typ="safe", pure=True).load(text)["stages"]
    stages = {name: stage.get("do", stage) for name, stage in written.items()}
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
    """The stages that write what one reads."""
    read = [path for path in stages[name]["deps"] if not path.startswith("${")]
    return [
        other
        for other, stage in stages.items()
        if other != name and any(_meet(path, out) for path in read for out in _outs(stage))
    ]


def _outs(stage: Mapping[str, Any]) -> Iterable[str]:
    for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
        yield next(iter(out)) if isinstance(out, dict) else out


def _meet(dependency: str, out: str) -> bool:
    """Whether one of two paths is inside the other, where `${...}` is any one name."""
    both = zip(dependency.split("/"), out.split("/"), strict=False)
    return all(a == b or "${" in a + b for a, b in both)


def _ancestors(name: str, sources_by_stage: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    pending = list(sources_by_stage[name])
    while pending:
        source = pending.pop()
        if source not in found:
            found.add(source)
            pending += sources_by_stage[source]
    return found
