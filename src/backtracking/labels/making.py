"""The data that two labellers ship, made again from the traces that judges labelled."""

from pathlib import Path

from backtracking.labels import choosing, fitting, learned, markers
from backtracking.labels.examples import FLOWS, of_source, read_examples
from backtracking.records import reader
from lifeboat.items import Item
from lifeboat.stage import artifacts

TOLERANCE = 1e-3
"""Of a weight that another processor's arithmetic makes."""


def make(folder: Path) -> list[Item]:
    """Chooses and fits again, and writes both files of data.

    Raises:
        UserError: where a file of traces is missing.
    """
    sets, weights = _made(folder)
    reader.write_json(markers.FILE, sets)
    reader.write_json(learned.FILE, weights)
    return [Item(f"{file} was written.", "ok") for file in (markers.FILE, learned.FILE)]


def check(folder: Path) -> list[Item]:
    """Whether the shipped data are what the traces give.

    Raises:
        UserError: as `make`.
    """
    sets, weights = _made(folder)
    shipped = reader.read_json(learned.Weights, learned.FILE)
    same = {
        markers.FILE: reader.encode(sets) == artifacts.read_json(markers.FILE),
        learned.FILE: is_near(weights, shipped),
    }
    cure = "Write them again: `backtracking learn-labels FOLDER`."
    return [
        Item(f"{file.name} is what the traces give.", "ok")
        if is_same
        else Item(f"{file.name} is not what the traces give.", "wrong", cure)
        for file, is_same in same.items()
    ]


def _made(folder: Path) -> tuple[list[markers.MarkerSet], learned.Weights]:
    examples = read_examples(folder)
    return choosing.choose(of_source(examples, FLOWS)), fitting.fit(examples)


def is_near(one: learned.Weights, other: learned.Weights) -> bool:
    """Whether two fits are the same but for the last digits."""
    if one.sources != other.sources:
        return False
    names = set(one.weights) | set(other.weights)
    pairs = [(one.weights.get(name, 0.0), other.weights.get(name, 0.0)) for name in names]
    pairs += [(one.intercept, other.intercept), (one.threshold, other.threshold)]
    return all(abs(a - b) <= TOLERANCE for a, b in pairs)
