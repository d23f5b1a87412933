"""The small model and the traces that extraction is tested on."""

from extraction.conftest import _one_thread, items, model, model_folder, published, run

__all__ = ["_one_thread", "items", "model", "model_folder", "published", "run"]
