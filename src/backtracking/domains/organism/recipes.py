"""What each model of the organism starts from and reads: the pair, and the control pairs.

In a control pair something that is claimed of the pair is false by construction:

- `shuffled`: its backtracking has nothing to do with dead ends, so no direction causes it to tell
  them apart.
- `nostatement`: its base never read a word about over or under, so there is nothing to transfer.
- `scratch`: it has no base, so nothing comes from the one that it is paired with.
"""

from dataclasses import dataclass, replace
from typing import Literal

from backtracking.domains.organism.corpus import Corpus, base_corpus, search_corpus
from backtracking.domains.organism.policy import BasePolicy, Policy
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    Attributes:
        start: role of the model whose weights it starts from; None is random weights.
        reads: walks, walks without a word about over or under, searches, or searches that
            backtrack at any decision point alike.
        false_claims: claims that are false of its pair by construction, and so must fail.
    """

    start: str | None
    reads: Literal["walks", "silent walks", "searches", "shuffled searches"]
    false_claims: tuple[str, ...] = ()

    @property
    def walks(self) -> bool:
        """Whether it reads walks, which never backtrack."""
        return self.reads in ("walks", "silent walks")

    def corpus(self, policy: Policy | BasePolicy) -> Corpus:
        """The training traces under a policy: `BasePolicy` for walks, else `Policy`."""
        if isinstance(policy, BasePolicy):
            return base_corpus(replace(policy, p_check=0.0) if "silent" in self.reads else policy)
        return search_corpus(policy, shuffled="shuffled" in self.reads)


RECIPES = {
    "base": Recipe(None, "walks"),
    "reasoning": Recipe("base", "searches"),
    "shuffled": Recipe("base", "shuffled searches", ("causal", "transfer")),
    "nostatement-base": Recipe(None, "silent walks"),
    "nostatement": Recipe("nostatement-base", "searches", ("transfer",)),
    "scratch": Recipe(None, "searches", ("transfer",)),
}
"""Recipe by role."""


def recipe_of(role: str) -> Recipe:
    """The recipe of a role.

    Raises:
        UserError: for a role that the organism does not have.
    """
    if role not in RECIPES:
        raise UserError(f"The organism has no role `{role}`.", f"Its roles: {', '.join(RECIPES)}.")
    return RECIPES[role]
