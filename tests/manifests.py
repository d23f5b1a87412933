"""The manifest of a store that tests make by hand."""

from backtracking.activations.format import Positions
from backtracking.activations.manifest import Check, Manifest

MANIFEST = Manifest(
    hook="resid_post",
    layers=(0, 1),
    positions=Positions(None),
    dtype="float32",
    d_model=4,
    model_sha256="m",
    tokenizer_sha256="t",
    check=Check(1, 1, 0.0, 0.0, 1e-5, "cpu", "sdpa", "float32"),
)
