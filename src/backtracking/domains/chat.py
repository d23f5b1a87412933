"""Prompts as a model reads them: a question within the text of its chat template."""

import re

from tokenizers import Tokenizer

from lifeboat.stage.errors import UserError

QUESTION = "{question}"
_SPECIAL = re.compile(r"<[|｜][^<>|｜]+[|｜]>")


def prompt_ids(template: str, question: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a question in a template, special tokens in its text as such.

    Args:
        template: all that stands around `{question}`, the start token included.
        question: as asked.
        tokenizer: of the model.

    Raises:
        UserError: where the template has not one `{question}`, or a special token that the
            vocabulary has not: the template of another model.
    """
    if template.count(QUESTION) != 1:
        raise UserError(
            f"params.yaml: expected one {QUESTION} in the template, found {template!r}.",
            "Write what the model's chat template puts before and after a question.",
        )
    unknown = [one for one in _SPECIAL.findall(template) if tokenizer.token_to_id(one) is None]
    if unknown:
        raise UserError(
            f"params.yaml: the template has {unknown[0]}, and the tokenizer does not.",
            "Take the template of the model under study.",
        )
    return tokenizer.encode(template.replace(QUESTION, question), add_special_tokens=False).ids
