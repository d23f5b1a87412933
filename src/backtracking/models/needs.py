"""What the models of the study need of a machine: the hub's cache, a token, the disk."""

from pathlib import Path
from typing import Any

from backtracking.models import cost
from backtracking.models.sizes import BYTES_BY_DTYPE, Model, hub_cache, models
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from lifeboat.doctor import disk
from lifeboat.doctor.disk import Estimate
from lifeboat.doctor.doctor import Machine
from lifeboat.doctor.links import Links, existing
from lifeboat.items import Item
from lifeboat.stage import abilities

_ALLOW = "Allow for its weights twice (cache of the hub, models/), and for its activations."
PROMPT_TOKENS = 64
"""Added to the longest answer where a trace's length is bounded; the organism's are far shorter."""


def checks(root: Path, machine: Machine) -> list[Item]:
    """The hub's cache and token, and room for a study that has not run here.

    Raises:
        UserError: where params.yaml or dvc.lock cannot be read.
    """
    return [*room(root, machine.links), cache_item(root), token_item()]


def room(root: Path, links: Links) -> list[Item]:
    """Whether a study that has not run here as it is asked for fits; nothing where it has.

    Raises:
        UserError: where params.yaml or dvc.lock cannot be read.
    """
    if disk.recorded_estimate(root, links) is not None:
        return []
    found = models(root)
    unknown = sorted({m.source for m in found if not m.n_layers or not m.n_parameters})
    said = [Item(f"How much `{n}` will write is not known.", "warning", _ALLOW) for n in unknown]
    return [_fits(root, links), *said]


def _fits(root: Path, links: Links) -> Item:
    """Wrong below what is expected, a warning between that and what it may come to at most."""
    most = bound(root, links)
    told = disk.fits(root, links, most)
    n_bytes = min(int(cost.disk_bytes(params.read(Workspace(root).params))), most.bytes)
    if told.verdict != "wrong" or not n_bytes:
        return told
    expected = disk.fits(root, links, Estimate(n_bytes, "as `profile list` reckons"))
    if expected.verdict == "wrong":
        return expected
    fact = f"{told.fact} About {n_bytes / 1e9:.0f} GB are expected, as `profile list` reckons."
    return Item(fact, "warning", told.cure)


def bound(root: Path, links: Links) -> Estimate:
    """At most this much, for a study that has not run here.

    Raises:
        UserError: where params.yaml or dvc.lock cannot be read.
    """
    found, outs = models(root), disk.recorded(root)
    activations = sum(_activation_bytes(root, model) for model in found)
    weights = sum(_weight_bytes(root, model, links) for model in found)
    others = sum(out.bytes for out in outs if not out.path.startswith("data/interim/activations/"))
    n_bytes = activations * links.n_shard_copies + weights + others * links.n_copies
    return Estimate(n_bytes, "were each trace as long as params.yaml allows", is_most=True)


def _activation_bytes(root: Path, model: Model) -> int:
    """Bytes of the activations of all sampled traces, were each as long as it may be."""
    now = params.read(Workspace(root).params)
    extract = now.get("extract") or {}
    layers = extract.get("layers")
    n_layers = len(layers) if isinstance(layers, list) else model.n_layers or 0
    width = BYTES_BY_DTYPE.get(str(extract.get("dtype")), 4) * (model.d_model or 0)
    n_traces = _number(now, "problems.n_study") * _number(now, "traces.n_samples")
    n_tokens = n_traces * (_number(now, "traces.max_new_tokens") + PROMPT_TOKENS)
    return n_tokens * (n_layers * width + 3 * 8)


def _weight_bytes(root: Path, model: Model, links: Links) -> int:
    """Bytes of a model's weights: trained here, or taken from the hub's cache into models/."""
    n_bytes = (model.n_parameters or 0) * (4 if model.is_trained_here else 2)
    if (Workspace(root).model(model.role) / "config.json").is_file():
        return 0
    in_hub_cache = 0 if model.is_here else 1
    return n_bytes * (links.n_copies + in_hub_cache)


def _number(values: dict[str, Any], name: str) -> int:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None  # type: ignore[assignment]
    return values if isinstance(values, int) else 0


def cache_item(root: Path) -> Item:
    """Where models of the hub go, and whether there is room for more.

    Raises:
        UserError: where params.yaml cannot be read.
    """
    folder = hub_cache(root)
    free = abilities.free_bytes(existing(folder))
    said = "nobody says how much is free" if free is None else f"{free / 1e9:.1f} GB free"
    n_models = len(list(folder.glob("models--*")))
    holds = "1 model" if n_models == 1 else f"{n_models} models"
    fact = f"Hugging Face's cache is {folder}: {holds}, {said}."
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
