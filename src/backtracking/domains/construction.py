"""What is true and what is false of the study's pairs by construction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backtracking.domains.domain import Domain
from backtracking.runtime.workspace import Roles
from lifeboat.stage.errors import UserError

Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Told:
    """Section `known` of params.yaml: of pairs whose models nobody trained here.

    Attributes:
        must_fail: role of a pair's model, and the claim that is false of it.
        must_hold: the same of a claim that is true.
    """

    must_fail: Rows
    must_hold: Rows


@dataclass(frozen=True)
class Built:
    """Claims by the role of a pair's model: false by construction, and true."""

    false: Mapping[str, tuple[str, ...]]
    true: Mapping[str, tuple[str, ...]]


def built(domain: Domain, roles: Roles, pairs: Iterable[str], told: Told) -> Built:
    """What the recipes of pairs say of them, and what params.yaml does.

    Args:
        domain: whose recipes they are; models that nobody trained here have none.
        roles: the models of the study.
        pairs: roles of the pairs' models.
        told: what params.yaml says.

    Raises:
        UserError: where params.yaml names a role that is no pair's.
    """
    found = tuple(pairs)
    strange = sorted({role for role, _ in (*told.must_fail, *told.must_hold)} - {*found})
    if strange:
        raise UserError(
            f"params.yaml, section `known`: `{strange[0]}` is no pair's model.",
            f"The pairs are of {', '.join(found)}.",
        )
    recipes = {role: domain.recipe(roles.recipe(role)) for role in found}
    false = {role: one.false_claims for role, one in recipes.items() if one}
    true = {role: one.true_claims for role, one in recipes.items() if one}
    return Built(_joined(false, told.must_fail), _joined(true, told.must_hold))


def _joined(of_recipes: dict[str, tuple[str, ...]], told: Rows) -> dict[str, tuple[str, ...]]:
    found = dict(of_recipes)
    for role, claim in told:
        found[role] = (*found.get(role, ()), claim)
    return found
