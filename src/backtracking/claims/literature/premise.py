"""The premise of every claim about the base's direction: there is something for it to say.

A base whose state does not tell the classes apart where it is steered has no dead-end direction
there, whatever the difference of two means is called; nothing can then be tested with it.

Beyond tokens it has to tell them, or a direction that follows what is written would pass. Where the
words alone decide the class, nothing can be told beyond them, and a base that was never taught it
keeps some of them: within strata, an activation that follows the size of the target alone is above
chance. There it has to tell them better than such a base does; a study without one cannot ask.
"""

from backtracking.claims.literature.own import STUDY
from backtracking.claims.literature.rows import answer, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict, above
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.directions import Strength
from backtracking.records.rows.probe import Probed
from backtracking.records.rows.table import first

CEILING = 0.95
"""AUROC of the best baseline of tokens from which on nothing can be told beyond it."""

CHANCE = 0.5
"""What the AUROC has to exceed where it is held against tokens as well."""

PREMISE = Question(
    claim="premise",
    study=STUDY,
    statement="Where it is steered, the base's own state tells {dead} from {live}.",
    contrast="AUROC within strata of what the two share, on dev problems, of the projection on the "
    "base's direction",
    threshold=f"above {CHANCE:g}, and the base's activations tell more than the best baseline of "
    f"tokens; where that baseline leaves no room (an AUROC of {CEILING:g} or more) or was not "
    "read, above the upper end of a base that was never taught the classes",
    kind="emergent",
    published=Published(None, "none"),
)


def claims(study: Study) -> list[Claim]:
    """The row of the premise, with the bases of the control pairs beside."""
    return [answer(study, PREMISE, premise)]


def premise(study: Study, role: str) -> Finding:
    """Whether the base of a role's model separates the classes at the steered place."""
    base = study.base_by_role[role]
    own = first(study.rows(Strength), role=base, form="matched", window=study.window,
                layer=study.layer)  # fmt: skip
    if own is None or own.dev_auroc is None:
        return untestable("no direction was scored on dev at the steered place")
    beyond, why = beyond_tokens(study, base)
    bar = untaught(study) if beyond is None else CHANCE
    parts: dict[str, Verdict] = {"separates": above(_low(own), CHANCE)}
    if beyond is not None:
        parts["beyond_tokens"] = beyond
    else:
        parts["beyond_untaught"] = "untestable" if bar is None else above(_low(own), bar)
    if base in _untaught_bases(study):
        why += "; this is the base that was never taught, and the upper end of its interval the bar"
    ends = {"low": own.dev_low, "high": own.dev_high, "null": bar}
    return Finding.of(parts, estimate=own.dev_auroc, why=why, target=base, **ends)


def untaught(study: Study) -> float | None:
    """Upper end of the AUROC of bases that were never taught the classes; None without one."""
    bases = _untaught_bases(study)
    ends = [
        row.dev_high
        for row in study.rows(Strength)
        if (row.form, row.window, row.layer) == ("matched", study.window, study.layer)
        and row.role in bases
    ]
    return max((one for one in ends if one is not None), default=None)


def _untaught_bases(study: Study) -> set[str]:
    return {base for role, base in study.base_by_role.items() if "premise" in study.false(role)}


def _low(own: Strength) -> float | None:
    """The lower end of the AUROC; where all is told apart, which has no interval, the AUROC."""
    return own.dev_auroc if own.dev_auroc == 1.0 else own.dev_low


def beyond_tokens(study: Study, base: str) -> tuple[Verdict | None, str]:
    """Whether a probe of the base beats the words where dev chose it, and that in words.

    None where it was not asked, or where the words leave nothing to beat.
    """
    cells = (
        row
        for row in study.rows(Probed)
        if (row.choice.role, row.choice.target) == (base, study.dead)
    )
    cell = next(cells, None)
    if cell is None or cell.auroc.value is None or cell.baseline_auroc is None:
        return None, "no probe was read"
    told = (
        f"a probe of the base reaches {cell.auroc.value:.3f} at layer {cell.choice.layer}, "
        f"words alone {cell.baseline_auroc:.3f}"
    )
    if cell.baseline_auroc >= CEILING:
        return None, f"{told}, which leaves nothing to tell beyond them"
    return above(cell.difference.low, 0.0), told
