"""Newton's method with concrete numbers: sparse factors on the host, each used as long as it is good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.equilibrium.linearized import Backbone, backbone, inverse_at
from mdsens.equilibrium.newton import (
    FLOOR_FACTOR,
    MAX_ITERATIONS,
    PATIENCE,
    measure,
    move,
    newton_step,
)
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.linear import HostSolver, Inverse

# A factor whose step leaves more of the residual than this is replaced.
_STALE = 0.1


@dataclass(frozen=True, eq=False)
class Polished:
    """Where the polish ended: the state, its residual, the steps made, and what was last made of
    the Hessian of a state nearby (None without a matrix)."""

    setting: Setting
    residual: float
    steps: int
    factor: Inverse | None


def polish(problem: Problem, setting: Setting, solver: Any, goal: float) -> Polished:
    """Newton steps to the floor of float64; the best state seen.

    A step that opens or closes a contact may raise the residual before the next one, with the right
    contacts, makes it fall for good: `PATIENCE` such steps in a row are forgiven, except at the
    floor, where nothing more is to be had.
    """
    here, best, factor = setting, setting, None
    lowest = float(measure(problem, setting)[1])
    count = failures = 0
    while lowest > goal and count < MAX_ITERATIONS and failures < PATIENCE:
        step, downhill, last = _step(problem, here, solver, factor)
        if not downhill:
            break
        count += 1
        here = move(problem, here, step)
        residual = float(measure(problem, here)[1])
        at_floor = lowest <= FLOOR_FACTOR * goal
        failures = 0 if residual < 0.9 * lowest else failures + (PATIENCE if at_floor else 1)
        factor = last if at_floor or residual <= _STALE * lowest else None
        if residual < lowest:
            best, lowest = here, residual
    return Polished(best, lowest, count, factor)


def _step(
    problem: Problem, setting: Setting, solver: Any, factor: Inverse | None
) -> tuple[jax.Array, bool, Inverse | None]:
    """-(P H P)^+ g, whether H is positive there (else it is not to be taken), and the factor used."""
    if not isinstance(solver, HostSolver):
        step, downhill = newton_step(problem, setting, solver)
        return step, bool(downhill), None
    here: Backbone = backbone(problem, setting)
    if factor is None or not np.array_equal(factor.projector.mask, here.projector.mask):
        factor = inverse_at(solver, problem, here)
    gradient = np.asarray(measure(problem, here.setting)[0])
    step, _ = factor.solve(-gradient)
    # Unknown inertia (-1) is left to the certificate.
    downhill = factor.inertia <= 0 and bool(np.isfinite(step).all())
    return jnp.asarray(step) + here.nudge, downhill, factor
