"""What a model does at a decision when the deciding token alone is edited: P of what comes next.

Every decision is read by itself: earlier ones of the same trace are as they were. Nothing before an
edit can change in a causal model, and nothing below the edited layer, so what is shared is read
once: a trace up to that layer, and behind it, as a tree (`prefixes.Tree`), the deciding token again
for every arm, edited, with the ids that may follow it. Only blocks above the layer run for an arm,
at these positions and those of the trace.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import edits, kv_cache
from backtracking.models.batches import log_softmax, to_numpy
from backtracking.models.forced import Arm, Prefix, Stack
from backtracking.models.heads import stream_of, with_stream
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import beginnings
from backtracking.models.trees import Tree
from backtracking.models.turning import opening_paths, p_opening, p_turning, paths_of
from backtracking.records.tokens import Opener, TokenPath
from lifeboat.stage.errors import UserError

N_FLUENT = 200
"""Tokens, most probable at a decision without steering, whose mass tells whether a model is whole
where nobody knows which tokens may stand there."""


LANE = 128
"""Tokens of edits that see one another's columns, at least: a lane copies the trace's keys and
values, so that it is as long as the trace where that is longer."""
FEW_BRANCHES = 8
"""Tokens behind an edit, up to which a batch has all its edits; of more, fewer edits make one."""


@dataclass(frozen=True)
class Counted:
    """What is counted at a decision.

    Attributes:
        openers: words and phrases that open backtracking.
        legal_ids: ids that may stand there; empty where nobody knows.
        newlines: ids of new lines, after which an opener counts as well.
        is_exact: whether an opener that is not taken back is backtracking, so that its probability
            is that of the sentence; else that is read by writing on (`resampling`).
    """

    openers: tuple[Opener, ...]
    legal_ids: tuple[int, ...]
    newlines: tuple[int, ...] = ()
    is_exact: bool = True

    @property
    def opener_ids(self) -> list[int]:
        """First ids of all openers that are words, each once."""
        return list(dict.fromkeys(id_ for one in self.openers for id_ in one.ids.ids))

    @cached_property
    def paths(self) -> list[TokenPath]:
        """All ids along which an opener follows."""
        return opening_paths(self.openers, self.newlines)


@dataclass(frozen=True)
class Endpoints:
    """What every arm does at each decision, in the order of the prefixes; NaN where not asked.

    Attributes:
        p_open: P(what follows opens backtracking): the next token, or after it the rest of a
            phrase, or of either what follows a new line.
        p_back: P(the next sentence begins with an opener that is not taken back), exactly, from the
            same edited prefix; NaN where that is not exact. A sentence that comes between
            (`Tokens.asides`) counts as none.
        p_legal: P(the next token may stand there); where nobody knows which may, mass of the
            `N_FLUENT` tokens most probable there without an edit, divided by what it is without,
            and NaN of a vocabulary that has no more tokens, where that is 1 whatever is edited.
    """

    p_open: Float[np.ndarray, "arms decisions"]
    p_back: Float[np.ndarray, "arms decisions"]
    p_legal: Float[np.ndarray, "arms decisions"]


@torch.inference_mode()
def read_endpoints(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    arms: Sequence[Arm],
    counted: Counted,
    edits_per_batch: int,
    asked: Bool[np.ndarray, "arms decisions"] | None = None,
    *,
    has_back: bool = True,
    progress: Callable[[int], None] = lambda edits: None,
) -> Endpoints:
    """The endpoints of every arm at every decision.

    Args:
        loaded: the model that reads.
        layer: whose output is edited at the deciding token.
        prefixes: what it reads.
        arms: the edits.
        counted: whose probabilities are summed.
        edits_per_batch: arms times decisions in one call of the model.
        asked: where an arm is run; everywhere by default.
        has_back: whether `p_back` is read, which takes as many positions more as there are
            beginnings of paths along which an opener is taken back.
        progress: told the number of edits just done.

    Raises:
        UserError: where as many deciding tokens as are asked for were not edited.
    """
    n = sum(len(prefix.decisions) for prefix in prefixes)
    asked = np.ones((len(arms), n), dtype=bool) if asked is None else asked
    found = Endpoints(*np.full((3, len(arms), n), np.nan))
    has_back = has_back and counted.is_exact
    back = [path for one in counted.openers for path in paths_of(one)] if has_back else []
    paths, n_edited = [*back, *counted.paths], 0
    for some in _read(loaded, layer, prefixes, arms, paths, edits_per_batch, asked):
        log_p, at = some.log_p_after, (some.arms, some.columns)
        found.p_open[at] = to_numpy(p_opening(counted.paths, log_p))
        if has_back:
            p_back = p_turning(counted.openers, partial(_p_of, log_p))
            found.p_back[at] = to_numpy(torch.as_tensor(p_back))  # without an opener it is 0
        found.p_legal[at] = to_numpy(_p_legal(log_p[()], some.usual, counted.legal_ids))
        n_edited += len(some.arms)
        progress(len(some.arms))
    if n_edited != asked.sum():
        raise UserError(
            f"Expected {asked.sum()} edits of deciding tokens at layer {layer}, found {n_edited}.",
            "Report it: decisions of a prefix were left out, or read twice.",
        )
    return found


@torch.inference_mode()
def read_out(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    suffix: Sequence[int],
    arms: Sequence[Arm],
    for_ids: Sequence[int],
    against_ids: Sequence[int],
    edits_per_batch: int,
) -> Float[np.ndarray, "arms decisions"]:
    """Log-odds of some tokens against others after a suffix is appended at each decision.

    The deciding token alone is edited, so that the suffix asks for what the model holds there.
    """
    n = sum(len(prefix.decisions) for prefix in prefixes)
    found, asked = np.zeros((len(arms), n)), np.ones((len(arms), n), dtype=bool)
    path = tuple(suffix)
    for some in _read(loaded, layer, prefixes, arms, [(*path, -1)], edits_per_batch, asked):
        last = some.log_p_after[path]
        yes, no = (last[:, list(ids)].logsumexp(dim=1) for ids in (for_ids, against_ids))
        found[some.arms, some.columns] = to_numpy(yes - no)
    return found


@dataclass(frozen=True)
class _Usual:
    """The `N_FLUENT` tokens that are most probable without an edit.

    Attributes:
        ids: of each row.
        p: their mass.
    """

    ids: Int[Tensor, "rows some"]
    p: Float[Tensor, " rows"]

    @classmethod
    def of(cls, logits: Float[Tensor, "rows d_vocab"]) -> "_Usual | None":
        """None of a vocabulary that has no more tokens."""
        if logits.shape[1] <= N_FLUENT:
            return None
        found = log_softmax(logits).topk(N_FLUENT, dim=1)
        return cls(found.indices, found.values.double().exp().sum(dim=1))

    def __getitem__(self, rows: Int[np.ndarray, " n"]) -> "_Usual":
        return _Usual(self.ids[rows], self.p[rows])


@dataclass(frozen=True)
class _Some:
    """Some edits, by number of the arm and the decision, and what they lead to.

    Attributes:
        log_p_after: of the next token after the deciding one (the empty path), and after every
            beginning of a path.
        usual: what usually follows the deciding one, without an edit.
    """

    arms: Int[np.ndarray, " rows"]
    columns: Int[np.ndarray, " rows"]
    log_p_after: dict[TokenPath, Float[Tensor, "rows d_vocab"]]
    usual: "_Usual | None"


@dataclass(frozen=True)
class _Trunk:
    """A prefix up to the edited layer, with what follows its decisions, read without an edit.

    Attributes:
        ids: of the trace.
        node_ids: of the branches.
        leaves: position before each deciding token.
        branches: the deciding token and then each beginning of a path; its id is left out.
        output: what the block returned.
        stream: of the trace.
        past: keys and values of the trace, and then of what follows; None where they can't be cut.
        nodes: of the branches, those of each decision together.
        usual: what follows each decision.
    """

    ids: Int[Tensor, " pos"]
    node_ids: Int[Tensor, "decisions width"]
    leaves: Int[np.ndarray, " decisions"]
    branches: Sequence[TokenPath]
    output: Any
    stream: Float[Tensor, "pos d_model"]
    past: DynamicCache | None
    nodes: Float[Tensor, "decisions width d_model"]
    usual: "_Usual | None"


def _read(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    arms: Sequence[Arm],
    paths: Sequence[TokenPath],
    edits_per_batch: int,
    asked: Bool[np.ndarray, "arms decisions"],
) -> Iterator[_Some]:
    """All edits that are asked for, a few at a time, each with what follows it."""
    stack, branches, first = Stack.of(arms, loaded.device), beginnings(paths), 0
    room = loaded.room("edits", edits_per_batch // max(1, len(branches) // FEW_BRANCHES))
    for prefix in prefixes:
        n = len(prefix.decisions)
        decision, arm = asked[:, first : first + n].T.nonzero()
        first += n
        if not len(arm):
            continue
        trunk = _read_trunk(loaded, layer, prefix.ids, prefix.decisions, branches)
        donor = None
        if prefix.donor_ids:
            donor = _read_trunk(loaded, layer, prefix.donor_ids, prefix.decisions, []).nodes[:, 0]

        read = partial(_read_some, loaded, layer, trunk, stack, branches, donor, first - n)
        pairs = list(zip(arm.tolist(), decision.tolist(), strict=True))
        yield from room.parts(pairs, read, 1 + len(branches))


def _read_some(
    loaded: LoadedModel,
    layer: int,
    trunk: _Trunk,
    stack: Stack,
    branches: Sequence[TokenPath],
    donor: Float[Tensor, "decisions d_model"] | None,
    first: int,
    pairs: Sequence[tuple[int, int]],
) -> _Some:
    """Pairs of an arm and a decision of one prefix, whose first decision has the number `first`."""
    arm, decision = np.array(pairs, dtype=np.int64).T
    log_p = _read_edits(loaded, layer, trunk, stack, arm, decision, donor)
    after = {path: log_p[:, at] for at, path in enumerate([(), *branches])}
    usual = None if trunk.usual is None else trunk.usual[decision]
    return _Some(arm, first + decision, after, usual)


def _read_trunk(
    loaded: LoadedModel,
    layer: int,
    ids: Sequence[int],
    decisions: Sequence[int],
    branches: Sequence[TokenPath],
) -> _Trunk:
    n, leaves = decisions[-1], np.array(decisions, dtype=np.int64) - 1
    rooted = [(0,), *((0, *branch) for branch in branches)]
    tree = Tree.of(loaded, n, leaves, rooted)
    further = [branch[-1] for branch in branches]
    node_ids = torch.tensor([[ids[at], *further] for at in decisions])
    trace = torch.tensor(list(ids[:n]))
    roots = n + len(rooted) * torch.arange(len(decisions))
    past = kv_cache.cuttable(loaded)
    with edits.outputs_of({layer: loaded.blocks[layer]}) as output_by_layer:
        logits = tree.logits(loaded, torch.cat([trace, node_ids.flatten()])[None], roots, past)[0]
    output = output_by_layer[layer]
    stream = stream_of(output)[0]
    nodes = stream[n:].unflatten(0, (len(decisions), len(rooted)))
    usual = _Usual.of(logits)
    return _Trunk(trace, node_ids, leaves, rooted, output, stream[:n], past, nodes, usual)


def _read_edits(
    loaded: LoadedModel,
    layer: int,
    trunk: _Trunk,
    stack: Stack,
    arm: Int[np.ndarray, " rows"],
    decision: Int[np.ndarray, " rows"],
    donor: Float[Tensor, "decisions d_model"] | None,
) -> Float[Tensor, "rows width d_vocab"]:
    """Log-probabilities of the next token after the edited token, and along every branch.

    The trace is read again, above the layer, where its keys and values are not there.
    """
    n, width = int(trunk.leaves[decision].max()) + 1, len(trunk.branches)
    rows, n_lanes = np.arange(len(arm)), 1
    if trunk.past is not None:  # the last row stands in for those that the last lane lacks
        n_lanes = -(-len(arm) // max(1, max(LANE, n) // width))
        rows = np.arange(n_lanes * -(-len(arm) // n_lanes)).clip(max=len(arm) - 1)
    arm, decision = arm[rows], decision[rows]
    nodes = trunk.nodes[decision].clone()
    given = None if donor is None else donor[decision]
    nodes[:, 0] = stack.edited(nodes[:, 0], torch.from_numpy(arm).to(loaded.device), given)
    leaves = trunk.leaves[decision]
    # Some architectures give the ids to blocks above the layer, too.
    stream, ids = nodes.flatten(0, 1), trunk.node_ids[decision].flatten()
    if trunk.past is None:
        tree, past = Tree.of(loaded, n, leaves, trunk.branches), None
        stream, ids = torch.cat([trunk.stream[:n], stream]), torch.cat([trunk.ids[:n], ids])
    else:
        tree = Tree.behind(loaded, n, leaves.reshape(n_lanes, -1), trunk.branches)
        past = kv_cache.cut(trunk.past, n, n_lanes)
    stream, ids = stream.unflatten(0, (n_lanes, -1)), ids.unflatten(0, (n_lanes, -1))
    at = torch.arange(stream.shape[1] - len(rows) // n_lanes * width, stream.shape[1])
    with edits.resume_after(loaded.blocks, layer, with_stream(trunk.output, stream)):
        logits = tree.logits(loaded, ids, at, past).flatten(0, 1)
    n_asked = int(rows[-1]) + 1
    return log_softmax(logits).unflatten(0, (len(rows), width))[:n_asked]


def _p_of(
    log_p: Mapping[TokenPath, Float[Tensor, "rows d_vocab"]], path: TokenPath, id_: int
) -> Float[Tensor, " rows"]:
    return log_p[path][:, id_].double().exp()


def _p_legal(
    log_p: Float[Tensor, "rows d_vocab"], usual: _Usual | None, legal_ids: Sequence[int]
) -> Float[Tensor, " rows"]:
    if legal_ids:
        return log_p[:, list(legal_ids)].double().exp().sum(dim=1)
    if usual is None:
        return log_p.new_full((len(log_p),), math.nan, dtype=torch.float64)
    return log_p.gather(1, usual.ids).double().exp().sum(dim=1) / usual.p
