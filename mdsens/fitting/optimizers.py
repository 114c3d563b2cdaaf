"""Ways down a fit, all from libraries: each takes a problem and a start, and tells every accepted step.

levenberg_marquardt   Gauss-Newton in a trust region with bounds (scipy.optimize.least_squares)
lbfgs                 L-BFGS-B (scipy.optimize.minimize)
adam                  optax.adam, bounds by projection; for many parameters and noisy starts
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import optax
from scipy import optimize

from mdsens.fitting.problem import Evaluation, Problem
from mdsens.fitting.targets import rows_of


@dataclass(frozen=True)
class Descent:
    """How to go down.

    Attributes:
        max_iterations: accepted steps.
        tolerance: relative change of chi^2 or of the parameters at which to stop.
        learning_rate: of adam, in u.
    """

    max_iterations: int = 100
    tolerance: float = 1e-10
    learning_rate: float = 1e-2


# The trust region begins with changes of this size: at u = 0 scipy's own choice is 1, all parameters
# doubled or gone, where structures collapse or fall apart.
_FIRST = 0.3
# So near to where a target could not be evaluated, or jumps (in u), a descent has ended there, not
# converged.
_EDGE = 1e-4
# A change of the residuals that their slopes do not explain, relative to them, counts as a jump.
_JUMP = 1e-3

Told = Callable[[Evaluation], None]
Optimizer = Callable[[Problem, np.ndarray, Descent, Told], str]


class Stop(Exception):
    """Raised by whoever is told of a step, to end the descent there."""


def levenberg_marquardt(problem: Problem, u: np.ndarray, how: Descent, tell: Told) -> str:
    """The sentence is "" where it converged."""
    steps = 0
    lowest = refused = problem(u)

    def values(u: np.ndarray) -> np.ndarray:
        nonlocal lowest, refused
        here = problem(u)
        if here.loss > lowest.loss:
            refused = here
        else:
            lowest = here
        return here.residuals

    def jacobian(u: np.ndarray) -> np.ndarray:
        nonlocal steps
        here = problem(u)
        tell(here)
        steps += 1
        if steps > how.max_iterations:
            raise Stop(_too_many(how))
        return cast(Any, here.jacobian)

    start, bounds = problem.space.inside(u), problem.space.bounds()
    found = optimize.least_squares(
        values, start, cast(Any, jacobian), bounds, loss=problem.loss, x_scale=_FIRST,
        xtol=how.tolerance, ftol=how.tolerance, gtol=how.tolerance,
        max_nfev=20 * how.max_iterations,
    )  # fmt: skip
    best = problem(found.x)
    tell(best)
    edge = _edge(problem, best, best if best.failures else refused)
    return edge or ("" if found.status > 0 else found.message)


def _edge(problem: Problem, here: Evaluation, there: Evaluation) -> str:
    """Which target ends, or is not continuous, between two points next to each other, as a sentence,
    or ""."""
    assert here.jacobian is not None and there.jacobian is not None
    step = there.u - here.u
    if np.linalg.norm(step) > _EDGE:
        return ""
    for name, why in there.failures.items():
        return f"stopped at the edge of where {name} can be evaluated: {why}"
    smooth = 0.5 * (here.jacobian + there.jacobian) @ step
    off = np.abs(there.residuals - here.residuals - smooth)
    if np.linalg.norm(off) <= _JUMP * max(1.0, float(np.linalg.norm(here.residuals))):
        return ""
    most = [off[rows].max() for rows in rows_of(problem.targets)]
    name = problem.targets[int(np.argmax(most))].name
    return (
        f"stopped where {name} jumps: for parameters next to these it relaxes to another state; give "
        "it another start, or the fit several"
    )


def lbfgs(problem: Problem, u: np.ndarray, how: Descent, tell: Told) -> str:
    bounds: Any = optimize.Bounds(*cast(Any, problem.space.bounds()))
    found = optimize.minimize(
        lambda u: (problem(u).loss, problem(u).gradient), u, jac=True, method="L-BFGS-B",
        bounds=bounds, callback=lambda u: tell(problem(u)),
        options={"maxiter": how.max_iterations, "ftol": how.tolerance, "gtol": how.tolerance},
    )  # fmt: skip
    tell(problem(found.x))
    return "" if found.success else found.message


def adam(problem: Problem, u: np.ndarray, how: Descent, tell: Told) -> str:
    rule = optax.adam(how.learning_rate)
    lower, upper = problem.space.bounds()
    state, before = rule.init(u), np.inf
    for _ in range(how.max_iterations):
        here = problem(u)
        tell(here)
        if abs(before - here.loss) <= how.tolerance * here.loss:
            return ""
        step, state = rule.update(here.gradient, state)
        u, before = np.clip(u + np.asarray(step), lower, upper), here.loss
    tell(problem(u))
    return _too_many(how)


OPTIMIZERS: dict[str, Optimizer] = {
    "levenberg_marquardt": levenberg_marquardt,
    "lbfgs": lbfgs,
    "adam": adam,
}


def _too_many(how: Descent) -> str:
    return f"not converged within {how.max_iterations} steps; allow more"
