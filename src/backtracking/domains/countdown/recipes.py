"""What the models of a study of written searches read: the pair, and a control that turns anywhere.

The base is taken from elsewhere: a pretrained model with its own tokenizer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from backtracking.domains.chat import prompt_ids
from backtracking.domains.countdown.world import World, question
from backtracking.domains.countdown.writer import Policy, Writer
from backtracking.models.rows import Row
from backtracking.models.tokens import token_ids
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:  # torch: what reads traces does without it
    from transformers import PreTrainedTokenizerFast

FALSE_CLAIMS: dict[str, tuple[str, ...]] = {
    "reasoning": (),
    "shuffled": ("causal", "transfer"),
}
"""Roles that are trained, and the claims that are false of each by construction."""


@dataclass(frozen=True)
class WrittenRecipe:
    """How one model is fine-tuned.

    Attributes:
        world: its problems.
        policy: of the writer.
        template: of the prompt.
        end: the token that ends a trace.
        is_shuffled: whether the writer turns anywhere.
        false_claims: claims that are false of its pair by construction, and so must fail.
        true_claims: none is true by construction: what the base knows is not ours.
        starts_from: role of the model whose weights it starts from.
    """

    world: World
    policy: Policy
    template: str
    end: str
    is_shuffled: bool
    false_claims: tuple[str, ...]
    true_claims: tuple[str, ...] = ()
    starts_from: str | None = "base"

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """None of its own.

        Raises:
            UserError: always.
        """
        raise UserError(
            "Written searches are read through the tokenizer of the model that they start from.",
            "Give `models.roles` a `starts_from` for it.",
        )

    def rows(self, tokenizer: Tokenizer, seed: int, context: int) -> Iterator[Row]:
        """Prompts and whole searches, none of a problem of the study, cut at the context.

        Raises:
            UserError: where the vocabulary has no such end.
        """
        end = end_id(self.end, tokenizer)
        for number in count():
            random = Random(f"{seed}/{number}")
            numbers, target = self.world.draw(random)
            if self.world.is_study(numbers, target):
                continue
            asked = question(numbers, target, self.world.rule)
            prompt = prompt_ids(self.template, asked, tokenizer)
            text = Writer(numbers, target, self.policy, random, self.is_shuffled).write()
            ids = [*prompt, *token_ids(text, tokenizer), end]
            yield Row(ids[:context], len(prompt))


def end_id(end: str, tokenizer: Tokenizer) -> int:
    """Id of the token that ends a trace.

    Raises:
        UserError: where the vocabulary has none.
    """
    found = tokenizer.token_to_id(end)
    if found is None:
        raise UserError(
            f"params.yaml, section `countdown`: the tokenizer has no token {end!r}.",
            "Name the token with which the model ends its answer.",
        )
    return found
