"""All that is recomputed, each from models, traces and what the study chose on dev."""

from collections.abc import Callable, Iterator

from recomputation.chains import chains
from recomputation.comparing import Compared
from recomputation.directions import cosine
from recomputation.holding import coefficient
from recomputation.learning import hidden
from recomputation.probing import difference
from recomputation.steering import baseline, primary
from recomputation.study import Study

QUANTITIES: tuple[Callable[[Study], Iterator[Compared]], ...] = (
    primary,
    baseline,
    cosine,
    difference,
    coefficient,
    chains,
    hidden,
)
