"""The example of docs/artifacts.md, run on stores of every dtype."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

pytestmark = pytest.mark.kind(8)

EXAMPLE = Path(__file__).parents[2] / "docs" / "artifacts.md"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_layer_is_read_as_the_page_says(dtype: torch.dtype, tmp_path: Path) -> None:
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    shard = {"resid_post.2": values.to(dtype), "position": torch.arange(3)}
    save_file(shard, tmp_path / "one.safetensors")
    (tmp_path / "manifest.json").write_text(json.dumps({"units": [{"file": "one.safetensors"}]}))
    section = EXAMPLE.read_text(encoding="utf-8").partition("Reading one layer")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    code = found[1].replace("data/interim/activations/reasoning", str(tmp_path))
    names: dict[str, Any] = {}
    exec(compile(code, str(EXAMPLE), "exec"), names)
    np.testing.assert_array_equal(names["vectors"], values.numpy())
    assert names["position"].tolist() == [0, 1, 2]
