"""What each model of the organism starts from and reads: the pair, and the control pairs.

The pair is the positive control where its base stops at what is over (`BasePolicy.p_stop`): the
base acts on over at the very full stop at which its fine-tuned model decides, so what is claimed of
the pair is true by construction. In a control pair something of it is false by construction:

- `shuffled`: its backtracking has nothing to do with dead ends, so no direction causes it to tell
  them apart.
- `nostatement`: its base never read a word about over or under and never stopped at it, so there
  is nothing to transfer.
- `alien`: it is `reasoning` itself, whose own direction steers it, beside a base of other weights
  that it never came from.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Literal

from tokenizers import Tokenizer

from backtracking.domains.organism.corpus import Corpus, base_corpus, draw_chunk, search_corpus
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World
from backtracking.models.rows import Row
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:  # torch: what reads traces does without it
    from transformers import PreTrainedTokenizerFast

Reads = Literal["walks", "silent walks", "searches", "shuffled searches"]


@dataclass(frozen=True)
class OrganismRecipe:
    """How one model is made.

    Attributes:
        starts_from: role of the model whose weights it starts from; None is random weights.
        reads: walks, walks without a word or an act about over or under, searches, or searches
            that backtrack at any decision point alike.
        false_claims: claims that are false of its pair by construction, and so must fail.
        true_claims: claims that are true of its pair by construction, and so must hold.
        world: its problems.
        policy: `BasePolicy` for walks, else `Policy`.
    """

    starts_from: str | None
    reads: Reads
    false_claims: tuple[str, ...]
    true_claims: tuple[str, ...]
    world: World
    policy: Policy | BasePolicy

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """The world's, one token a word."""
        return build_tokenizer()

    def corpus(self) -> Corpus:
        """What writes the training traces."""
        if isinstance(self.policy, BasePolicy):
            is_silent = self.reads == "silent walks"
            silent = replace(self.policy, p_check=0.0, p_stop=0.0)
            return base_corpus(silent if is_silent else self.policy)
        return search_corpus(self.policy, shuffled=self.reads == "shuffled searches")

    def rows(self, tokenizer: Tokenizer, seed: int, context: int) -> Iterator[Row]:
        """Whole traces, chunk after chunk of the corpus, cut at the context."""
        ids, corpus = tokenizer.get_vocab(), self.corpus()
        for chunk in count():
            yield from draw_chunk(self.world, corpus, ids, seed, chunk, context)


RECIPES: dict[str, tuple[str | None, Reads, tuple[str, ...], tuple[str, ...]]] = {
    "base": (None, "walks", (), ()),
    "reasoning": ("base", "searches", (), ("primary", "causal", "transfer")),
    "shuffled": ("base", "shuffled searches", ("causal", "transfer"), ()),
    "nostatement-base": (None, "silent walks", (), ()),
    "nostatement": ("nostatement-base", "searches", ("transfer", "premise"), ()),
    "alien-base": (None, "walks", (), ()),
    "alien": ("reasoning", "searches", ("transfer",), ()),
}
"""What each role starts from and reads, the claims that are false of it, and those that are true.

The true ones are only where the base stops at what is over.
"""


def recipe_of(role: str, world: World, policy: Policy, base_policy: BasePolicy) -> OrganismRecipe:
    """The recipe of a role.

    Raises:
        UserError: for a role that the organism does not have.
    """
    if role not in RECIPES:
        raise UserError(f"The organism has no role `{role}`.", f"Its roles: {', '.join(RECIPES)}.")
    starts_from, reads, false_claims, true_claims = RECIPES[role]
    told: Policy | BasePolicy = base_policy if reads in ("walks", "silent walks") else policy
    if not base_policy.p_stop:
        true_claims = ()
    return OrganismRecipe(starts_from, reads, false_claims, true_claims, world, told)
