"""`design`: parameters that give a packing a wanted response.

    minimise over theta    f(theta) = o(x*(theta), theta),    x*(theta) = argmin_x E(x; theta)

with bounds on theta, total derivatives from the implicit function theorem, and every relaxation
started from the state before. f is smooth between contact changes and has kinks (or, where a branch
ends, jumps) there: a quasi-Newton method with a backtracking line search gets over both, at the
price of a few steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.optimize

from mdsens.derivatives import sensitivity
from mdsens.derivatives.named import replaced, select
from mdsens.equilibrium import Progress
from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.potentials import Potential
from mdsens.result import Result
from mdsens.system import System


@dataclass(frozen=True, eq=False)
class Design:
    """The best parameters found.

    Attributes:
        params: all parameters, the designed ones in place.
        system: the relaxed configuration that goes with them.
        value: of the objective.
        history: (K,) its value after each evaluation; infinite where a state was refused.
        outcome: the optimiser's own words.
        result: the last certified derivatives, at the best parameters.
    """

    params: Any
    system: System
    value: float
    history: np.ndarray
    outcome: str
    result: Result


def design(
    potential: Potential,
    params: Any,
    system: System,
    objective: Callable[[Potential, Any, Any], Any],
    *,
    wrt: Sequence[str] = ("diameter",),
    bounds: Mapping[str, tuple[float, float]] | None = None,
    steps: int = 100,
    gtol: float = 1e-8,
    progress: Progress | None = None,
    **options: Any,
) -> Design:
    """Minimise a function of a relaxed packing over its parameters.

    Args:
        potential, params, system: the start, as for `relax`.
        objective: f(potential, params, state) -> scalar, differentiable by JAX, of the observables
            in `mdsens.observables` for instance.
        wrt: the parameters to be varied.
        bounds: (lowest, highest) by parameter name; unbounded by default.
        steps: of the optimiser (L-BFGS-B), each one to a few relaxations.
        gtol: largest component of the projected gradient at which it stops.
        progress: called as progress(stage, done, total, text).
        **options: of `sensitivity` and `relax`.

    Returns:
        Design; the best state seen, whether or not the optimiser was content.

    Raises:
        InputError: unknown parameters, bounds that exclude the start, an objective that is no scalar.
        NotConverged, DerivativeUndefined: the start itself has no derivative.
    """
    theta = {name: np.asarray(v, dtype=float) for name, v in select(params, list(wrt)).items()}
    limits = _limits(theta, bounds or {})
    search = _Search(potential, params, system, objective, theta, progress, options)
    start = search.flatten(theta)
    search.certified(start)
    found = scipy.optimize.minimize(
        search.value_and_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        options={"maxiter": steps, "gtol": gtol, "ftol": 0.0},
    )
    best, result = search.best
    return Design(
        params=search.params(best),
        system=result.system,
        value=float(np.asarray(result.observables[objective.__name__])),
        history=np.array(search.history),
        outcome=str(found.message),
        result=result,
    )


class _Search:
    """The mutable part: the state every relaxation starts from, and the best one."""

    def __init__(
        self,
        potential: Potential,
        params: Any,
        system: System,
        objective: Callable[..., Any],
        theta: dict[str, np.ndarray],
        progress: Progress | None,
        options: dict[str, Any],
    ):
        self.potential, self.start, self.objective = potential, system, objective
        self.given, self.theta, self.options = params, theta, options
        self.progress = progress or (lambda *_: None)
        self.history: list[float] = []
        self.best: tuple[np.ndarray, Result]

    def flatten(self, theta: Mapping[str, Any]) -> np.ndarray:
        return np.concatenate([np.asarray(theta[name]).reshape(-1) for name in self.theta])

    def params(self, flat: np.ndarray) -> Any:
        ends = np.cumsum([v.size for v in self.theta.values()])[:-1]
        parts = np.split(flat, ends)
        named = zip(self.theta.items(), parts, strict=True)
        return replaced(self.given, {n: jnp.asarray(p.reshape(v.shape)) for (n, v), p in named})

    def certified(self, flat: np.ndarray) -> Result:
        """Value and derivative at these parameters; remembered if the best."""
        result = sensitivity(
            self.potential, self.params(flat), self.start,
            observables=[self.objective], wrt=list(self.theta), **self.options,
        )  # fmt: skip
        value = _scalar(result, self.objective)
        if value < min(self.history, default=np.inf):
            # The next relaxation starts here: the branch that is being improved is not left lightly.
            self.best = flat.copy(), result
            self.start = replace(self.start, positions=result.positions, cell=result.cell)
        self.history.append(value)
        self.progress("design", len(self.history), None, f"objective {value:.6g}")
        return result

    def value_and_gradient(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Where there is no certified state, a slope up as steep as the best state's is down: the
        line search turns back. (From infinity L-BFGS-B cannot interpolate and gives up.)"""
        try:
            result = self.certified(flat)
        except (NotConverged, DerivativeUndefined):
            best, result = self.best
            value, slope = min(self.history), self._slope(result)
            self.history.append(np.inf)
            return value + abs(float(slope @ (flat - best))), -slope
        return self.history[-1], self._slope(result)

    def _slope(self, result: Result) -> np.ndarray:
        return self.flatten(result.sensitivity[self.objective.__name__])


def _scalar(result: Result, objective: Callable[..., Any]) -> float:
    value = np.asarray(result.observables[objective.__name__])
    if value.shape != ():
        raise InputError(
            f"design: {objective.__name__} returned shape {value.shape}; it must be a scalar"
        )
    return float(value)


def _limits(
    theta: dict[str, np.ndarray], bounds: Mapping[str, tuple[float, float]]
) -> list[tuple[float, float]]:
    """Raises InputError where the bounds name something else or exclude the start."""
    if unknown := set(bounds) - set(theta):
        raise InputError(f"design: bounds for {sorted(unknown)[0]}, which is not varied")
    limits: list[tuple[float, float]] = []
    for name, value in theta.items():
        a, b = bounds.get(name, (-np.inf, np.inf))
        if np.any(value < a) or np.any(value > b):
            raise InputError(f"design: the start of {name} lies outside its bounds ({a}, {b})")
        limits += [(a, b)] * value.size
    return limits
