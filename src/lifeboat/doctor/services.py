"""Hugging Face and Weights & Biases: caches and tokens that are set up; neither is asked."""

import shutil
from pathlib import Path

from backtracking.models.sizes import hub_cache, models
from backtracking.report import tracking
from lifeboat.doctor.links import existing
from lifeboat.items import Item


def cache_item(root: Path) -> Item:
    """Where models of the hub go, and whether there is room for more.

    Raises:
        UserError: where params.yaml cannot be read.
    """
    folder = hub_cache(root)
    free = shutil.disk_usage(existing(folder)).free / 1e9
    n_models = len(list(folder.glob("models--*")))
    holds = "1 model" if n_models == 1 else f"{n_models} models"
    fact = f"Hugging Face's cache is {folder}: {holds}, {free:.1f} GB free."
    wanted = sorted({m.source for m in models(root) if not m.is_here})
    if wanted:
        return Item(f"{fact} To be fetched: {', '.join(wanted)}.")
    return Item(fact)


def token_item() -> Item:
    """Whether a Hugging Face token is set up; the hub is not asked about it."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        return Item(
            "No Hugging Face token: the default study and public models need none; gated models "
            "and higher download limits do (HF_TOKEN in .env)."
        )
    if not token.startswith("hf_"):
        cure = "Copy it again from https://huggingface.co/settings/tokens into .env."
        return Item("The Hugging Face token does not begin with hf_.", "warning", cure)
    return Item("A Hugging Face token is set up (not checked with the hub).")


def tracking_item() -> Item:
    """What Weights & Biases will do in a run started here."""
    return Item(
        {
            "off": "W&B tracking is off: no WANDB_API_KEY; nothing needs it.",
            "offline": "W&B tracking is offline: runs are written to disk, nothing is sent.",
            "online": "W&B tracking is on (the key was not checked with the server).",
        }[tracking.mode()]
    )
