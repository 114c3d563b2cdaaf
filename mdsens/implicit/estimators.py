"""Estimators: five ways to differentiate what an iteration found.

Let x*(theta) solve F(x, theta) = 0, let T be one step of an iterative method with that fixed point,
and x_k what it has reached. With e = |x_k - x*| and rho the rate of convergence, |x_k - x*| ~ rho^k:

    estimator   dx/dtheta                                    error      error of d/dtheta min f
    Analytic    0                                            O(1)       O(e)
    OneStep     dT/dtheta                                    O(rho)     O(e)
    Neumann     sum_{i<m} (dT/dx)^i dT/dtheta                O(rho^m)   O(rho^m e)
    Automatic   dx_k/dtheta, step by step                    O(k e)     O(k e^2)
    Implicit    -(dF/dx)^-1 dF/dtheta                        O(e)       O(e^2)

All derivatives are taken at x_k. Ablin, Peyre, Moreau 2020, arXiv:2002.03722 (the value);
Blondel et al. 2022, arXiv:2105.15183 (implicit); Bolte, Pauwels, Vaiter 2023, arXiv:2305.13768 (one
step).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.implicit.attach import attach
from mdsens.implicit.auto import AUTO
from mdsens.implicit.condition import Residual, close, require_unknowns
from mdsens.implicit.estimators_unroll import forward_only, reversible
from mdsens.implicit.iteration import Info, Iteration, nan_unless, require_converged
from mdsens.implicit.leaves import is_traced_now, stopped
from mdsens.linear.precision import require_float64


class Estimator(ABC):
    """How x is differentiated; its value is the iteration's own whatever the estimator.

    Composes with jvp, vjp, jacfwd, jacrev, nestings of them, vmap and jit. Arguments that are no
    floats, and functions that close over parameters, are treated as by `attach`.
    """

    def __call__(self, iteration: Iteration, x0: Any, *args: Any) -> Any:
        """The x found from x0, differentiable in `args`; its derivative in x0 is zero.

        Raises:
            NotConverged: in eager code, where tol is not met within max_steps; its `result` is
                (x, Info). Under jit and vmap x is NaN, and so is every derivative. After a fixed
                number of steps (tol = 0) x is as good as it is.
            InputError, Float32Error, DerivativeUndefined: see `attach`.
        """
        return self.run(iteration, x0, *args)[0]

    def run(self, iteration: Iteration, x0: Any, *args: Any) -> tuple[Any, Info]:
        """(x, Info): the same, with the report of how x was found."""
        sol, info = iteration.run(x0, *args)
        require_converged(iteration, sol, info)
        return nan_unless(info.converged, self.at(iteration, sol, *args)), info

    @abstractmethod
    def at(self, iteration: Iteration, sol: Any, *args: Any) -> Any:
        """A solution found elsewhere, differentiable in `args` as by `__call__`."""


@dataclass(frozen=True)
class Analytic(Estimator):
    """x is a constant: dx/dtheta = 0.

    Right for the minimum value f(x*(theta), theta) and nothing else (the envelope theorem), to
    O(|x_k - x*|), and free.
    """

    def at(self, iteration: Iteration, sol: Any, *args: Any) -> Any:
        """`sol` as a constant."""
        return stopped(require_unknowns(sol))


@dataclass(frozen=True)
class Implicit(Estimator):
    """dx/dtheta = -(dF/dx)^-1 dF/dtheta, the implicit function theorem at x_k.

    Error O(|x_k - x*|); O(|x_k - x*|^2) for the gradient of the minimum value. Every order of
    derivative.

    Attributes:
        solve: solve(matvec, b); see `attach`.
    """

    solve: Callable[..., Any] | None = AUTO

    def at(self, iteration: Iteration, sol: Any, *args: Any) -> Any:
        """`attach` for the iteration's F."""
        return attach(iteration.condition, sol, args, self.solve)


@dataclass(frozen=True)
class Neumann(Estimator):
    """dx/dtheta = sum_{i < terms} (dT/dx)^i dT/dtheta, the truncated Neumann series at x_k.

    With all terms it is the implicit derivative, since A = 1 - dT/dx for F = x - T; m terms leave
    an error of O(rho^m), rho the rate of convergence of T. No equation is solved and no iterate
    stored. Second derivatives are those of this rule.

    Attributes:
        terms: how many, from 1.
    """

    terms: int

    def __post_init__(self) -> None:
        if not isinstance(self.terms, Integral) or int(self.terms) < 1:
            raise InputError(f"terms = {self.terms}: a Neumann series has one or more of them")

    def at(self, iteration: Iteration, sol: Any, *args: Any) -> Any:
        """`sol` with the derivative of the series."""
        return _with_series(iteration, sol, args, self.terms)


@dataclass(frozen=True)
class OneStep(Estimator):
    """dx/dtheta = dT/dtheta at x_k: only the last step is differentiated.

    The first term of the Neumann series. Error O(rho): good for methods that converge fast (Newton,
    where rho = 0 and it is exact), wrong by that much for slow ones, however far they are run.
    """

    def at(self, iteration: Iteration, sol: Any, *args: Any) -> Any:
        """`sol` with the derivative of one step."""
        return _with_series(iteration, sol, args, 1)


@dataclass(frozen=True)
class Automatic(Estimator):
    """dx_k/dtheta by differentiating the iteration itself.

    The only estimator that is exact for what was computed, converged or not, and the only one
    with a derivative in x0. Memory of reverse mode is that of 2 sqrt(k) states, for one more pass
    forwards; of forward mode that of one state per tangent.

    How many steps the iteration needs is found first, without derivatives. Under jit and vmap
    reverse mode makes room for max_steps.

    Attributes:
        mode: "reverse" composes with everything. "forward" (jvp, jacfwd and nestings) never stores
            an iterate, and refuses reverse mode.
        steps: exactly so many steps, whatever tol and max_steps say.
        last: only the last so many steps are differentiated; those before are constants.
        checkpoint: False stores all k states instead of recomputing: a third faster.
    """

    mode: str = "reverse"
    steps: int | None = None
    last: int | None = None
    checkpoint: bool = True

    def __post_init__(self) -> None:
        if self.mode not in ("reverse", "forward"):
            raise InputError(f'mode "{self.mode}" is unknown; allowed: "reverse", "forward"')
        for name in ("steps", "last"):
            count = getattr(self, name)
            if count is not None and not (isinstance(count, Integral) and int(count) >= 0):
                raise InputError(f"{name} = {count} must be a whole number, not negative")

    def run(self, iteration: Iteration, x0: Any, *args: Any) -> tuple[Any, Info]:
        """(x, Info): x differentiable in `args` and, unless `last` is given, in x0."""
        require_float64(args)
        x0 = require_unknowns(x0)
        if self.steps is not None or iteration.tol == 0.0:
            count = iteration.max_steps if self.steps is None else self.steps
            x = self._path(iteration, x0, args, count, count)
            return x, iteration.inform(x, count, args)
        sol, info = iteration.run(x0, *args)
        require_converged(iteration, sol, info)
        room = iteration.max_steps
        if not is_traced_now(info):
            # A power of two: similar lengths share compiled code.
            room = 1 << int(info.steps).bit_length()
        return nan_unless(info.converged, self._path(iteration, x0, args, info.steps, room)), info

    def _path(self, iteration: Iteration, x0: Any, args: tuple, count: Any, room: int) -> Any:
        if self.last is None:
            return iteration.apply(_from_start, self, x0, args, count, room)
        skipped = count - self.last
        skipped = max(skipped, 0) if isinstance(count, int) else jnp.maximum(skipped, 0)
        state = iteration.state_after(skipped, x0, *args)
        return iteration.apply(_walk, self, state, args, count - skipped, min(room, self.last))

    def at(self, iteration: Iteration, sol: Any, *args: Any) -> Any:
        """`sol` with the derivative of so many further steps from there as `last` or `steps` says.

        Raises:
            InputError: neither is given, and a solution found elsewhere has no path of its own.
        """
        count = self.steps if self.last is None else self.last
        if count is None:
            raise InputError(
                "Automatic() differentiates the path to a solution, and one that was found "
                "elsewhere has none; say how many steps from there count: Automatic(last=100)"
            )
        sol = stopped(require_unknowns(sol))
        x = iteration.apply(_from_start, self, sol, args, count, count)
        return jax.tree_util.tree_map(lambda a, b: a + (b - stopped(b)), sol, x)


def _from_start(
    iteration: Iteration, how: Automatic, x0: Any, args: tuple, count: Any, room: int
) -> Any:
    return _walk(iteration, how, iteration.init(x0, *args), args, count, room)


def _walk(
    iteration: Iteration, how: Automatic, state: Any, args: tuple, count: Any, room: int
) -> Any:
    def step(state: Any) -> Any:
        return iteration.step(state, *args)

    if how.mode == "forward":
        return iteration.read(forward_only(step, state, count))
    return iteration.read(reversible(step, state, count, room, how.checkpoint))


def _with_series(iteration: Iteration, sol: Any, args: tuple, terms: int) -> Any:
    sol = stopped(require_unknowns(sol))
    require_float64(args)
    return iteration.apply(_series, sol, args, terms)


def _series(iteration: Iteration, sol: Any, args: tuple, terms: int) -> Any:
    step, theta = close(iteration.map, sol, args)
    return _neumann(step, terms, sol, theta)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _neumann(step: Residual, terms: int, sol: Any, theta: Any) -> Any:
    del step, terms, theta
    return sol


@_neumann.defjvp
def _truncated_series(
    step: Residual, terms: int, primals: tuple, tangents: tuple
) -> tuple[Any, Any]:
    sol, theta = primals
    x = _neumann(step, terms, sol, theta)
    first = jax.jvp(lambda t: step(x, t), (theta,), (tangents[1],))[1]
    product = jax.linearize(lambda y: step(y, theta), x)[1]

    def next_sum(_: Any, total: Any) -> Any:
        return jax.tree_util.tree_map(lambda a, b: a + b, first, product(total))

    return x, jax.lax.fori_loop(1, terms, next_sum, first)
