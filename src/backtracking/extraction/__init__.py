"""Activations of a set of traces: planned, run, checked, kept; of any decoder-only model.

    from backtracking import models
    from backtracking.extraction import ActivationStore, Positions, Request, TraceFile, extract

Names are imported when they are first used, so that reading a store does not load a model library.
"""

from importlib import import_module
from typing import Any

_MODULE_BY_NAME = {
    "ActivationStore": "activations.reader",
    "Extraction": "extraction.engine",
    "Item": "extraction.items",
    "Job": "extraction.workers",
    "Positions": "activations.format",
    "Request": "extraction.planning",
    "TraceFile": "extraction.items",
    "extract": "extraction.engine",
    "helpers": "extraction.workers",
    "select": "activations.selection",
}
__all__ = sorted(_MODULE_BY_NAME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"backtracking.{_MODULE_BY_NAME[name]}"), name)
