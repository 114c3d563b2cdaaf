"""Profile likelihood: how chi^2 grows when one parameter is held away from its best value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from mdsens.errors import InputError
from mdsens.fitting.fit import Fit
from mdsens.fitting.optimizers import Descent, Stop, levenberg_marquardt
from mdsens.fitting.problem import Evaluation, Problem


def profile(
    fitted: Fit, label: str, values: Sequence[float], *, max_iterations: int = 50
) -> np.ndarray:
    """(n,) chi^2 with the parameter `label` held at each of `values` and all others fitted again.

    Where it is no parabola with the curvature 1/sigma^2 of `Fit.posterior`, error bars mislead.

    Raises:
        InputError: not a free parameter, or the only one.
    """
    space = fitted.space
    if label not in space.labels or space.size == 1:
        raise InputError(
            f"profile: {label} is not one of several free parameters; there are "
            f"{', '.join(space.labels)}"
        )
    k = space.labels.index(label)
    found = []
    for value in values:
        theta = np.array(space.theta(fitted.best.u))
        theta[k] = value
        problem = Problem(fitted.potential, space.without(k, theta), fitted.targets)
        found.append(_lowest(problem, max_iterations))
    return np.array(found)


def _lowest(problem: Problem, max_iterations: int) -> float:
    steps: list[Evaluation] = []
    with suppress(Stop):
        levenberg_marquardt(
            problem, np.zeros(problem.space.size), Descent(max_iterations), steps.append
        )
    return min(step.chi2 for step in steps)
