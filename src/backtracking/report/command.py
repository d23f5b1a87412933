"""`backtracking track`: its options, and what it answers."""

from typing import Annotated

import typer

from lifeboat.cli.verbs import AsJson, report, state
from lifeboat.items import Item


def track(
    direction: Annotated[
        bool, typer.Option("--direction", help="Send the directions as an artifact, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell Weights & Biases of the stages in dvc.lock that it was not told of before.

    A run a stage: parameters, numbers, tables, figures, and the hashes of DVC and git that belong
    to them. Weights, activations and texts stay here.
    """

    def tell() -> list[Item]:
        from backtracking.report import recorded, tracking

        if tracking.mode() == "off":
            cure = "Give WANDB_API_KEY in .env, or WANDB_MODE=offline for runs on disk alone."
            return [Item("W&B tracking is off, and nothing was told.", "wrong", cure)]
        told = recorded.log_stages(state.root)
        found = [Item(f"{len(told)} stages: {', '.join(told) or 'all were told before'}.", "ok")]
        if direction:
            name, is_recorded = recorded.log_direction(state.root)
            said = "is an artifact" if is_recorded else "was not recorded"
            found.append(Item(f"{name} {said}.", "ok" if is_recorded else "wrong"))
        if tracking.mode() == "offline":
            folder = tracking.folder(state.root) / "wandb"
            found.append(Item(f"Runs are on disk: `wandb sync {folder}` sends them."))
        return found

    report("track", as_json, tell)
