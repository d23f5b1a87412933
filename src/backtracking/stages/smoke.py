"""Does this machine load a model, hook it, and compute what the CPU computes?

Reads: params.yaml
Writes: results/smoke/metrics.json with verdicts and the tolerance; logs/smoke.json with what was
    measured on which device
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from backtracking.models import parity
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Params:
    """A tiny random model, and how far two devices may be apart.

    Attributes:
        n_layers: decoder blocks.
        d_model: width of the residual stream, a multiple of 8.
        n_tokens: tokens of each of the two rows of the batch.
        seed: of the weights, the tokens and the vector.
        tolerance: largest deviation, as a share of the largest value on the CPU.
    """

    n_layers: int
    d_model: int
    n_tokens: int
    seed: int
    tolerance: float

    def __post_init__(self) -> None:
        if min(self.n_layers, self.n_tokens) < 1 or self.d_model < 8 or self.d_model % 8:
            raise ValueError("n_layers, n_tokens: 1 or more; d_model: a multiple of 8.")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance {self.tolerance} must lie between 0 and 1.")


def run(params: Params, devices: list[str]) -> dict[str, dict[str, float]]:
    """Deviations by verdict and device; the first device is the reference."""
    torch.manual_seed(params.seed)
    return parity.deviations(params.n_layers, params.d_model, params.n_tokens, devices)


def verdicts(params: Params, deviations: dict[str, dict[str, float]]) -> dict[str, bool]:
    """Whether every deviation is within the tolerance."""
    return {
        verdict: all(value <= params.tolerance for value in values.values())
        for verdict, values in deviations.items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Makes results/smoke and says what was checked on which device."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "smoke", workspace.params)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    start = time.monotonic()
    deviations = run(params_, ["cpu", "cuda"] if gpu else ["cpu"])
    found = verdicts(params_, deviations)
    metrics = {**found, "tolerance": params_.tolerance}
    artifacts.write_json(workspace.results("smoke") / "metrics.json", metrics)
    log = {"gpu": gpu, "torch": torch.__version__, "seconds": time.monotonic() - start}
    shown = {
        f"{verdict}: {name}": repr(value)
        for verdict, values in deviations.items()
        for name, value in values.items()
    }
    artifacts.write_json(workspace.logs / "smoke.json", {**log, "deviations": shown})
    worst = max(value for values in deviations.values() for value in values.values())
    detail = f"largest deviation {worst:.1e}, tolerance {params_.tolerance:.1e}"
    if not all(found.values()):
        failed = ", ".join(name for name, holds in found.items() if not holds)
        raise UserError(
            f"Smoke test: {failed} failed ({detail}).",
            "logs/smoke.json has every deviation; `backtracking doctor` looks at the driver.",
        )
    where = f"{gpu} computes what the CPU computes" if gpu else _NO_GPU
    print(f"Smoke test: {where} ({detail}).")


_NO_GPU = "there is NO GPU that torch can use, so the CPU alone was checked"


if __name__ == "__main__":
    main()
