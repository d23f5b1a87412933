"""What has to become of claims by construction, of recipes and of models from elsewhere."""

from typing import Any

import pytest
from project import ROOT

from backtracking.domains.construction import Told, built
from backtracking.domains.registry import open_domain
from backtracking.runtime import params
from backtracking.runtime.workspace import Role, Roles
from lifeboat.stage.errors import UserError

NOTHING = Told((), ())
ROLES = Roles(
    {
        "base": Role("data/raw/problems", None, None),
        "reasoning": Role("data/raw/problems", "base", None),
        "other": Role("data/raw/problems", "base", None),
    }
)


class Untrained:
    """A domain that trains no model."""

    def recipe(self, role: str) -> None:
        """None."""


def test_recipes_say_it_of_what_is_trained_here() -> None:
    roles = params.load(Roles, "models", ROOT / "params.yaml")
    found = built(open_domain(ROOT / "params.yaml"), roles, roles.base_by_role, NOTHING)
    assert "causal" in found.false["shuffled"] and found.false["alien"] == ("transfer",)


def test_params_say_it_of_what_comes_from_elsewhere() -> None:
    untrained: Any = Untrained()
    told = Told((("other", "transfer"),), (("reasoning", "causal"),))
    found = built(untrained, ROLES, ROLES.base_by_role, told)
    assert found.false == {"other": ("transfer",)} and found.true == {"reasoning": ("causal",)}


def test_a_role_that_is_no_pairs_is_refused() -> None:
    untrained: Any = Untrained()
    with pytest.raises(UserError, match="`base` is no pair's model"):
        built(untrained, ROLES, ROLES.base_by_role, Told((("base", "transfer"),), ()))
