"""What `doctor` says of Weights & Biases; no stage needs it, so it stands beside the tracking."""

from pathlib import Path

from backtracking.report import tracking
from lifeboat.items import Item


def checks(root: Path, machine: object) -> list[Item]:
    """What Weights & Biases will do in a run started here."""
    said = Item(
        {
            "off": "W&B tracking is off: no WANDB_API_KEY; nothing needs it.",
            "offline": "W&B tracking is offline: runs are written to disk, nothing is sent.",
            "online": "W&B tracking is on (the key was not checked with the server).",
        }[tracking.mode()]
    )
    return [said]
