"""The one error that users are meant to read: expected, found, what to do."""


class UserError(Exception):
    """Wrong input, told in one readable paragraph; the command line prints it without a traceback.

    Args:
        message: what was expected and what was found, with the value.
        cure: what to do about it.
    """

    def __init__(self, message: str, cure: str = "") -> None:
        is_closed = not cure or message.rstrip().endswith((".", "!", "?", ":"))
        super().__init__(f"{message}{'' if is_closed else '.'} {cure}".strip())
