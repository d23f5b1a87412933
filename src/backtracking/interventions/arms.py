"""The arms that directions make.

An arm is affine, the primary intervention: the projection on a direction is set to the mean of the
other class, and its nulls (`directions.nulls`) are moved as far at every decision. Or it adds a
dose, a multiple of the class distance of the model that is steered, beside which stand other forms,
other states, the mean, and two nulls: random directions, and those of shuffled labels, which hold
what the activations of two arbitrary groups of decisions differ by.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions.forms import Contrast
from backtracking.directions.nulls import PROVIDERS, class_means
from backtracking.directions.resampled import Resampled, resample
from backtracking.interventions.along import Along
from backtracking.interventions.plan import Plan, Push, no_push
from backtracking.models import forced
from backtracking.records.measured import CONTROL, PATCHED, RETRAINED, Arm


@dataclass(frozen=True)
class Ground:
    """What a model holds at decisions of train problems, at one layer of its residual stream.

    Attributes:
        contrast: activations at the deciding token, of both classes.
        distance: dose 1 in this model: the norm of its own matched direction at the chosen place.
    """

    contrast: Contrast
    distance: float

    def mean(self, sign: float) -> Float[Tensor, " d_model"]:
        """The mean of the positive class for a sign above 0, else of the negative one."""
        return class_means(self.contrast)[sign > 0]


def affine_arms(layer: int, ground: Ground, directions: Sequence[Along]) -> list[Push]:
    """The baseline, and every direction's affine edits: to the mean of either class."""
    return [no_push(len(directions[0].unit))] + [
        _affine(one, layer, ground, sign) for one in directions for sign in (1.0, -1.0)
    ]


def with_nulls(
    plan: Plan,
    layer: int,
    ground: Ground,
    along: Along,
    names: Sequence[str] = tuple(PROVIDERS),
    controls: Sequence[Along] = (),
) -> list[Push]:
    """A direction's affine arms, its nulls and controls, moved at every decision as far as it.

    Args:
        plan: how many of each null, and their seed.
        layer: whose output is edited.
        ground: of the model that is steered.
        along: the direction.
        names: of nulls; each draws from a generator of its own.
        controls: directions that are to do less than it.
    """
    own = affine_arms(layer, ground, [along])
    pushes = list(own)
    for control in controls:
        for one in own[1:]:
            told = control.name, CONTROL, one.arm.dose
            arm = Arm(*told, edit="displace", place=control.place, layer=layer)
            pushes.append(Push(arm, replace(one.edit, vector=control.unit), control.cosine))
    for name in names:
        generator = torch.Generator().manual_seed(plan.seed)
        units = PROVIDERS[name](ground.contrast, along.unit, plan.n_null, generator).float()
        for number, unit in enumerate(units):
            cosine = float(unit @ along.unit)
            for one in own[1:]:
                arm = Arm(f"{name}_{number}", name, one.arm.dose, edit="displace", layer=layer)
                pushes.append(Push(arm, replace(one.edit, vector=unit), cosine))
    return pushes


def retrained_arms(
    plan: Plan, layer: int, ground: Ground, along: Along, estimated: Contrast
) -> list[Push]:
    """A direction's affine arms as they come out with train problems that are drawn anew.

    Args:
        plan: how many, and their seed.
        layer: whose output is edited.
        ground: of the model that is steered; its means are drawn with the direction.
        along: the direction.
        estimated: what it was estimated from.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    pushes = []
    for number, one in enumerate(resample(estimated, ground.contrast, plan.n_retrained, generator)):
        cosine = float(one.unit @ along.unit)
        name = f"{along.name}.{RETRAINED}_{number}"
        again = Along(name, RETRAINED, one.unit, along.place, cosine)
        pushes += [_affine(again, layer, one, sign) for sign in (1.0, -1.0)]
    return pushes


def patched_arms(
    layer: int, ground: Ground, directions: Sequence[Along], sign: float
) -> list[Push]:
    """The baseline, the patch of the donor's state, and affine edits towards what the donor is.

    The donor is of the positive class for a sign above 0, else of the negative one.
    """
    none, *affine = affine_arms(layer, ground, directions)
    arm = Arm(PATCHED, PATCHED, sign, edit="patch", layer=layer)
    patch = Push(arm, replace(none.edit, is_patch=True))
    return [none, patch, *(one for one in affine if one.arm.dose == sign)]


def main_arms(
    plan: Plan,
    layer: int,
    distance: float,
    main: Sequence[Along],
    randoms: Sequence[Along],
) -> list[Push]:
    """The baseline, directions at all doses, and random ones, all of them at dose 1 and -1 alone.

    Args:
        plan: the doses.
        layer: whose output is edited.
        distance: what dose 1 adds.
        main: directions.
        randoms: the null.
    """
    arms = arms_at(layer, distance, main, plan.doses)
    arms += arms_at(layer, distance, randoms, (1.0, -1.0))[1:]
    others = sorted({*plan.doses} - {1.0, -1.0})
    return arms + arms_at(layer, distance, randoms[: plan.n_few_random], others)[1:]


def arms_at(
    layer: int, distance: float, directions: Sequence[Along], doses: Sequence[float]
) -> list[Push]:
    """The baseline, and directions added at doses."""
    none = [no_push(len(directions[0].unit))] if directions else []
    return none + [push(one, layer, distance, dose) for one in directions for dose in doses]


def removals(layer: int, ground: Ground, directions: Sequence[Along]) -> list[Push]:
    """The baseline, and on every direction the projection set to the mean of the negative class.

    Not to 0, which may lie far from all that the model ever holds there.
    """
    affine = [(one, _affine(one, layer, ground, -1.0)) for one in directions]
    return [no_push(len(directions[0].unit))] + [
        replace(push, arm=replace(push.arm, dose=0.0, group=one.group)) for one, push in affine
    ]


def push(along: Along, layer: int, distance: float, dose: float) -> Push:
    """A direction added at a dose."""
    arm = Arm(along.name, along.group, dose, place=along.place, layer=layer)
    return Push(arm, forced.Arm(dose * distance * along.unit), along.cosine)


def _affine(along: Along, layer: int, ground: Ground | Resampled, sign: float) -> Push:
    """The projection on a direction set to a class's mean of it."""
    value = float(ground.mean(sign) @ along.unit)
    arm = Arm(
        along.name, along.group, sign, edit="set_projection", place=along.place, layer=layer
    )  # fmt: skip
    return Push(arm, forced.Arm(along.unit, along.unit, value), along.cosine)
