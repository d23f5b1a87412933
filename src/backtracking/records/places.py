"""Where a direction comes from: its key everywhere, so that nobody writes or parses a name."""

from typing import NamedTuple

Window = tuple[int, int]
"""First and last offset from the deciding token (0), both included."""


CONTROLS = ("word", "next", "permuted")
"""Forms that are controls without training, at decisions like `matched`: before sentences that open
like backtracking and are none; before sentences of another state; and between the very classes of
`matched`, as the model reads traces whose sentences stand in another order."""


class Place(NamedTuple):
    """Where a direction was estimated.

    Attributes:
        role: the model in whose activations.
        form: how: `matched`, `unmarked`, `keyword`, `stable`, `ward`, `venhoff`, `state`, `mean`,
            `null` (shuffled labels), `action` (from the unembedding alone), or one of `CONTROLS`.
        window: offsets that it was averaged over, of `ward`, `venhoff`, `state` and `mean` from a
            sentence's first token; None for what is read from weights.
        layer: of `resid_post`; None for what is read from weights.
        state: the sentence state of the forms `state` and `next`.
        number: the number of a shuffle, of the form `null`.
    """

    role: str
    form: str
    window: Window | None = None
    layer: int | None = None
    state: str | None = None
    number: int | None = None

    @property
    def window_text(self) -> str | None:
        """The window as it stands in tables; None for what is read from weights."""
        return None if self.window is None else window_text(self.window)


def window_text(window: Window) -> str:
    """A window as it stands in tables, which nobody parses."""
    return f"{window[0]}:{window[1]}"
