"""What decides a claim, in words: written before a study runs, from the code that will judge."""

from collections.abc import Mapping

from backtracking.claims.family import CONFIRMATORY, LEVEL, OF_BASE, OF_STEERING
from backtracking.claims.literature.own import STATEMENTS
from backtracking.effects.seen import AFFINE, TO_BEAT
from backtracking.records.measured import BESIDE
from backtracking.statistics.effect import FLOOR, MIN_LEGAL


def endpoint(studied: str, base: str, kinds: tuple[str, str], measure: str) -> str:
    """The primary endpoint of a study.

    Args:
        studied, base: roles of the pair.
        kinds: the negative and the positive class of decisions, in words.
        measure: what is read, of `measure_of`.
    """
    live, dead = kinds
    return (
        f"The direction of `{base}` in `{studied}`, at decisions of class {live} on test problems, "
        f"edit `{AFFINE}`: the projection on it is set to `{studied}`'s mean at class {dead}. "
        f"Read: the change of {measure}. "
        f"{STATEMENTS['primary']} It holds where the change is off 0, at least {FLOOR:g}, beyond "
        "95 % of the directions of each null, above every control pair's, other base's and control "
        "direction's, and measured where the mass on words that may stand there is at least "
        f"{MIN_LEGAL:g}."
    )


def measure_of(is_exact: bool, n_drawn: int) -> str:
    """What the primary endpoint reads.

    Args:
        is_exact: whether the study's domain tells a turn by ids alone.
        n_drawn: sentences that are drawn after a decision under an arm; 0 where none is.
    """
    if n_drawn:
        return f"P(backtrack), the share of {n_drawn} drawn sentences at each decision"
    return "P(backtrack), read exactly" if is_exact else "P(an opener)"


def nulls(n: int) -> Mapping[str, str]:
    """Each null by its name, and what it is for, with how many directions it has."""
    least = f"p is at least {1 / (1 + n):.4f}"
    told: dict[str, str] = dict.fromkeys(TO_BEAT, f"{n} directions, to be beaten; {least}")
    return told | dict.fromkeys(BESIDE, "told beside, not to be beaten")


def family() -> str:
    """What shares one level, what comes before it, and what takes the meaning from it."""
    return (
        f"Confirmatory: {_listed(CONFIRMATORY)}, by Holm at {LEVEL:g}; all others are exploratory. "
        "Premise: where the base's direction cannot tell the classes apart, "
        f"{_listed(OF_BASE)} are no test. Where a claim that must hold fails, "
        f"{_listed(OF_STEERING)} are not tested."
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{one}`" for one in names)
