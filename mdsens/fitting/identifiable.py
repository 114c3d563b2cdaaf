"""Whether the targets can tell the free parameters, asked before anything is fitted.

With J the derivatives of all residuals by u, what changes no residual is the null space of J, and a
parameter is told by the targets where e_k is orthogonal to it. Where a fit starts a parameter may do
nothing and still count: on another branch of a piecewise potential, say. So one that is not told there
may be told at any of a few points around. The points are not taken together: the null space of a
product of parameters turns from point to point, and what no point tells would seem told by two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np

from mdsens.errors import InputError, MdsensError
from mdsens.fitting.null_space import moving, null_space, told
from mdsens.fitting.problem import Evaluation, Problem
from mdsens.fitting.targets import rows_of

# Parameters with this share in a direction are named.
_SHARE = 0.2


def check_identifiable(problem: Problem, at: Evaluation, around: Iterable[np.ndarray]) -> None:
    """Raise InputError for targets that no free parameter moves, and parameters, alone or together,
    that move no target; of many parameters it is not known.

    Args:
        at: where the fit starts.
        around: points (k,) that are asked too, one by one, while the answer is no; those that cannot
            be evaluated are passed over.
    """
    if at.jacobian is None:
        return
    size = problem.space.size
    if len(at.jacobian) < size:
        raise InputError(
            f"fit: {size} free parameters, but only {len(at.jacobian)} numbers to meet; fix "
            "parameters, give priors, or add targets"
        )
    seen = [at.jacobian]
    fault = _fault(problem, seen)
    for u in around:
        if not fault:
            return
        with suppress(MdsensError):
            there = Problem(problem.potential, problem.space, problem.targets)(u).jacobian
            assert there is not None
            seen.append(there)
            fault = _fault(problem, seen)
    if fault:
        raise InputError(fault)


def _fault(problem: Problem, seen: Sequence[np.ndarray]) -> str:
    """What the Jacobians (m, k) seen so far leave open, as a sentence, or ""."""
    moved = np.any(seen, axis=0)
    for target, rows in zip(problem.targets, rows_of(problem.targets), strict=True):
        if not moved[rows].any():
            return (
                f"fit: {target.name} does not depend on any free parameter; leave it out, or free "
                "one that it depends on"
            )
    labels = problem.space.labels
    moves = np.any([moving(jacobian) for jacobian in seen], axis=0)
    lost = [label for label, here in zip(labels, moves, strict=True) if not here]
    if lost:
        return (
            f"fit: no target depends on {', '.join(lost)}; fix "
            f"{'it' if len(lost) == 1 else 'them'}, give a prior, or add a target"
        )
    open_ = ~np.any([told(jacobian) for jacobian in seen], axis=0)
    for jacobian in seen:
        if np.any(open_ & moving(jacobian)):
            return (
                "fit: no target changes when these change together by these fractions: "
                f"{_combination(labels, jacobian)}; fix one of them, give it a prior, or add a target"
            )
    return ""


def _combination(labels: Sequence[str], jacobian: np.ndarray) -> str:
    """A direction that moves nothing at a point, in words."""
    moves = np.flatnonzero(moving(jacobian))
    null, size = null_space(jacobian[:, moves])
    direction = null[-1] / size
    direction = direction / np.abs(direction).max()
    names = np.array(labels)[moves]
    shares = zip(names, direction, strict=True)
    return ", ".join(f"{name} ({x:+.2g})" for name, x in shares if abs(x) > _SHARE)
