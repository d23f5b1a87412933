"""The one error that users are meant to read: expected, found, what to do."""


class UserError(Exception):
    """Wrong input, told in one readable paragraph; the command line prints it without a traceback.

    Args:
        message: what was expected and what was found, with the value.
        cure: what to do about it.
    """

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(f"{as_sentence(message) if cure else message} {cure}".strip())


def as_sentence(fact: str) -> str:
    """A fact that something follows, which ends as a sentence whoever's words it ends with."""
    return fact if not fact or fact[-1] in ".:;?!" else f"{fact}."
