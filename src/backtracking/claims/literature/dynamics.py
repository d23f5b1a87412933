"""The SLDS study (arXiv 2506.04374): a few linear regimes describe how a model reasons."""

from collections.abc import Mapping

from backtracking.claims.literature.rows import answer, in_words, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict, above, all_of
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.table import first
from backtracking.records.rows.transitions import (
    Compared,
    Forecast,
    StateModel,
    VarianceShare,
)

STUDY = "SLDS, arXiv 2506.04374"
SECOND_HAND = f"{STUDY}, second-hand"

PREDICTS = Question(
    claim="slds_predicts",
    study=STUDY,
    statement="A switching linear system predicts the next state better than simpler models.",
    contrast="nats a sentence of the next label: first-order Markov chain - SLDS",
    threshold="above 0, above the same of every chain of labels, and above that of an HMM",
    kind="emergent",
    published=Published(None, STUDY),
)

FITS = Question(
    claim="slds_fits",
    study=STUDY,
    statement="It explains where the activation goes next.",
    contrast="R2 of one step of the reduced activation, by the filter's prediction",
    threshold="the interval is above that of one linear system, VAR(1)",
    kind="emergent",
    published=Published(0.68, SECOND_HAND),
)

LOW_RANK = Question(
    claim="slds_low_rank",
    study=STUDY,
    statement="About half of the variance lies in 40 dimensions.",
    contrast="share of the variance in the first 40 principal components",
    threshold="at least 0.5",
    kind="built_in",
    published=Published(0.5, f"{SECOND_HAND}; of thousands of dimensions", comparable=False),
)

FEW_REGIMES = Question(
    claim="slds_few_regimes",
    study=STUDY,
    statement="Four regimes are enough.",
    contrast="number of regimes that dev problems choose",
    threshold="at most 4",
    kind="emergent",
    published=Published(4.0, SECOND_HAND, comparable=False),
)


def claims(study: Study) -> list[Claim]:
    """Rows of the study's claims, on the activations of every model that was fitted."""
    questions = (
        (PREDICTS, predicts), (FITS, fits), (LOW_RANK, low_rank), (FEW_REGIMES, few_regimes),
    )  # fmt: skip
    return [answer(study, question, find) for question, find in questions]


KNOWS_MORE = ("law", "next_token")
"""What is no state model, and stands beside them as a floor."""


def predicts(study: Study, role: str) -> Finding:
    """The gain of the SLDS over a first-order chain, beside that of the others."""
    rows = [row for row in study.rows(StateModel) if row.role in ("labels", role)]
    score_by_model = {row.class_: row.score for row in rows if row.class_ not in KNOWS_MORE}
    if "slds" not in score_by_model:
        return untestable("not fitted")
    gains = {name: -score.difference for name, score in score_by_model.items()}
    own = gains["slds"]
    others = {name: gain for name, gain in gains.items() if name not in ("slds", "iid")}
    parts: dict[str, Verdict]
    parts = {f"beyond_{name}": above(own.low, gain.high) for name, gain in others.items()}
    null = max((gain.value for gain in others.values() if gain.value is not None), default=None)
    why = " ".join((_nats(score_by_model), _floor(study), _edges(study, role))).strip()
    return Finding.beside(all_of([*parts.values()]), own, null, parts=parts, why=why)


def _nats(score_by_model: Mapping[str, Compared]) -> str:
    """What the SLDS and its best rival need."""
    nll = {name: one.nll for name, one in score_by_model.items() if one.nll.value is not None}
    if len(nll) < 2:
        return ""
    rival = min((name for name in nll if name != "slds"), key=lambda name: nll[name].value or 0.0)
    return f"It needs {in_words(nll['slds'])} nats a sentence, and {rival} {in_words(nll[rival])}."


def _floor(study: Study) -> str:
    """What is needed by what knows more than a state model can."""
    names = {"next_token": "the model's own next word", "law": "the writer's law"}
    nll = {row.class_: row.score.nll.value for row in study.rows(StateModel)}
    told = [f"{words} {nll[one]:.3f}" for one, words in names.items() if nll.get(one) is not None]
    return f"For comparison, {' and '.join(told)}." if told else ""


def _edges(study: Study, role: str) -> str:
    """Numbers of hidden states beyond which nothing was tried."""
    rows = [row for row in study.rows(StateModel) if row.role == role and row.edge == "largest"]
    told = [f"the {row.n_states} of {row.class_}" for row in rows]
    return f"Tried were no more hidden states than {' and '.join(told)}." if told else ""


def fits(study: Study, role: str) -> Finding:
    """R2 of the SLDS beside that of VAR(1)."""
    rows = study.rows(Forecast)
    slds, linear = (first(rows, role=role, model=name) for name in ("slds", "var_1"))
    if slds is None or linear is None:
        return untestable("not fitted")
    own, other = slds.r2, linear.r2
    beyond = above(own.low, other.high)
    why = f"One linear system explains {in_words(other)}."
    return Finding.beside(beyond, own, other.value, parts={"beyond_var_1": beyond}, why=why)


def low_rank(study: Study, role: str) -> Finding:
    """The variance of the first 40 components."""
    row = first(study.rows(VarianceShare), role=role, rank=40)
    if row is None:
        return untestable("not fitted, or the model has fewer than 40 dimensions")
    return Finding("holds" if row.share >= 0.5 else "fails", row.share, null=0.5)


def few_regimes(study: Study, role: str) -> Finding:
    """The number of regimes that dev problems choose on a model's activations."""
    row = first(study.rows(StateModel), role=role, class_="slds")
    if row is None or row.n_states is None:
        return untestable("not fitted")
    edge = "" if row.edge == "inside" else f", the {row.edge} number that was tried"
    why = f"Dev problems choose {row.n_states} regimes{edge}."
    return Finding(
        "holds" if row.n_states <= 4 else "fails", float(row.n_states), null=4.0, why=why
    )
