"""Activations of a set of traces: planned, run, checked, kept; of any decoder-only model.

    from backtracking import models
    from backtracking.extraction import ActivationStore, Positions, Request, TraceFile, extract

Names are imported when they are first used, so that reading a store does not load a model library.
"""

from importlib import import_module
from typing import Any

_MODULE_BY_NAME = {
    "ActivationStore": "reader",
    "Annotations": "selection",
    "Extraction": "engine",
    "Item": "items",
    "Job": "workers",
    "Positions": "planning",
    "Request": "planning",
    "TraceFile": "items",
    "extract": "engine",
    "helpers": "workers",
    "read_annotations": "selection",
    "select": "selection",
}
__all__ = sorted(_MODULE_BY_NAME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_BY_NAME[name]}"), name)
