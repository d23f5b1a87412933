import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from backtracking.models import hooks, parity


def test_a_sound_machine_deviates_by_rounding_only() -> None:
    torch.manual_seed(0)
    found = parity.deviations(2, 16, 8, ["cpu"])
    assert found["devices_agree"] == {}
    assert found["hook_reads_resid_post"] == {"cpu": 0.0}
    assert found["add_vector_adds"]["cpu"] < 1e-5


def test_a_hook_that_adds_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = hooks.add_vector
    monkeypatch.setattr(hooks, "add_vector", lambda blocks, layer, v: real(blocks, layer, 0 * v))
    assert parity.deviations(2, 16, 8, ["cpu"])["add_vector_adds"]["cpu"] == pytest.approx(1.0)


def test_a_hook_that_reads_another_layer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = hooks.capture

    @contextmanager
    def reading_the_first(
        blocks: Sequence[nn.Module], layers: Sequence[int]
    ) -> Iterator[dict[int, Tensor]]:
        with real([blocks[0]] * len(blocks), layers) as found:
            yield found

    monkeypatch.setattr(hooks, "capture", reading_the_first)
    found = parity.deviations(2, 16, 8, ["cpu"])
    assert found["hook_reads_resid_post"]["cpu"] > 1e-3


def test_what_is_not_a_number_deviates_without_end() -> None:
    assert parity.deviation(torch.tensor([1.0, math.nan]), torch.ones(2)) == math.inf
