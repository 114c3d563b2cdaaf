"""The minimum as a differentiable function of parameters, cell and pressure.

Everything here is compiled once per potential and shape, so that in eager code a gradient costs
little more than the relaxation before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.equilibrium.hosted import HostSolve
from mdsens.equilibrium.linearized import (
    Backbone,
    backbone,
    cholesky,
    interacting,
    inverse_at,
    operator_at,
    solver_for,
)
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.implicit import Certified, Projected, Side, attach, guard
from mdsens.linear import Dense, HostSolver, Inverse, Projector

_CUTOFF = 1e-11
_RTOL = 1e-10


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FactoredSolve(Certified):
    """x = (P H P)^+ b from a Cholesky factor of P H P + s (1 - P), computed beforehand.

    One factorisation serves every solve of every order of derivative. The shift s lifts the removed
    modes out of the way; nothing is regularised.

    Attributes:
        projector: of the state.
        factor: (n, n) lower triangular.
        scale: s, the size of H.
        sound: the state is a minimum without unexplained zero modes; False turns answers into NaN.
    """

    symmetric = True
    projector: Projector
    factor: jax.Array
    scale: jax.Array
    sound: jax.Array

    def __call__(self, matvec: Any, b: jax.Array) -> jax.Array:
        x, good = refined(self.apply, self.projector, matvec, b, self.scale)
        # Where nothing can move, what the projector leaves is rounding.
        x = jnp.where(self.projector.empty, 0.0, x)
        return jnp.where(self.sound & (good | self.projector.empty), x, jnp.nan)

    def apply(self, b: jax.Array) -> jax.Array:
        """One unrefined solve."""
        return self.projector(jax.scipy.linalg.cho_solve((self.factor, True), b))


def refined(
    apply: Any, projector: Projector, matvec: Any, b: jax.Array, scale: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(x, whether it solves): P A P x = P b by `apply`, refined once; `scale` is the size of A."""
    b = projector(b)
    x = apply(b)
    x = x + apply(b - projector(matvec(x)))
    left = jnp.linalg.norm(b - projector(matvec(x)))
    # Relative to the terms that cancel in it: b alone may be round-off to begin with.
    size = jnp.linalg.norm(b) + 1e-3 * scale * jnp.linalg.norm(x)
    return x, left <= _RTOL * size


@partial(jax.jit, static_argnames="problem")
def prepare(problem: Problem, setting: Setting) -> tuple[Setting, Certified]:
    """The setting without rattlers' contacts, and the solve behind its derivatives."""
    here = backbone(problem, setting)
    p = here.projector
    solver, _ = solver_for(problem, p.size, traced=True)
    if not isinstance(solver, Dense):
        # A mask of NaN is how a traced projector says that there is nothing to project onto.
        mask = jnp.where(here.sound, p.mask, jnp.nan)
        blocks = operator_at(problem, here.setting).blocks
        return here.setting, Projected(solver, replace(p, mask=mask), blocks)
    return here.setting, _factored(problem, here)


def prepare_eager(
    problem: Problem, setting: Setting, spent: Inverse | None = None
) -> tuple[Setting, Certified]:
    """As `prepare`, for concrete numbers: large systems are solved on the host.

    Args:
        spent: the factor of a state nearby, used where it is near enough.
    """
    size = problem.start(setting).size
    solver, _ = solver_for(problem, size, traced=False, rtol=_RTOL)
    inside, _ = solver_for(problem, size, traced=True)
    if not isinstance(inside, Dense) and not isinstance(solver, HostSolver):
        return prepare(problem, setting)
    here = backbone(problem, setting)
    if isinstance(inside, Dense):
        short = interacting(problem, here.setting)
        return here.setting, _factored(problem, here._replace(setting=short))
    inverse = inverse_at(solver, problem, here, spent)
    return here.setting, HostSolve.of(solver, inverse, here.projector, here.sound)


@partial(jax.jit, static_argnames="problem")
def _factored(problem: Problem, here: Backbone) -> FactoredSolve:
    factor, scale = cholesky(problem, here)
    solve = FactoredSolve(here.projector, factor, scale, jnp.asarray(True))
    return replace(solve, sound=here.sound & _regular(solve))


def _regular(solve: FactoredSolve) -> jax.Array:
    """No eigenvalue of P H P is zero or negative (the factor would hold NaN): inverse iteration."""

    def again(_: Any, v: jax.Array) -> jax.Array:
        x = solve.apply(v)
        return x / jnp.linalg.norm(x)

    n = solve.projector.size
    v = jax.lax.fori_loop(0, 3, again, solve.projector(jnp.cos(1.0 + jnp.arange(n) ** 2)))
    lowest = 1.0 / jnp.linalg.norm(solve.apply(v))
    # Nothing left to move is nothing to go wrong.
    return (lowest > _CUTOFF * solve.scale) | solve.projector.empty


def differentiable(
    problem: Problem, params: Any, cell: Any, pressure: Any, rest: Setting, solve: Certified
) -> tuple[jax.Array, jax.Array]:
    """(positions, cell) of the minimum as a function of params, cell and pressure.

    Raises:
        DerivativeUndefined: in eager code, where the linear solve fails.
    """
    given = _guarded((params, cell, pressure), Side.INPUT)
    return _guarded(_solution(problem, *given, rest, solve), Side.OUTPUT)


def _guarded(tree: Any, side: Side) -> Any:
    """Compiled code can only say NaN; around it, eager derivatives are told in words."""
    return jax.tree.map(lambda x: guard(x, side), tree)


@partial(jax.jit, static_argnames="problem")
def _solution(
    problem: Problem, params: Any, cell: Any, pressure: Any, rest: Setting, solve: Certified
) -> tuple[jax.Array, jax.Array]:
    def stationary(z: jax.Array, params: Any, cell: Any, pressure: Any, rest: Setting) -> jax.Array:
        return problem.gradient(z, replace(rest, params=params, cell=cell, pressure=pressure))

    z = attach(stationary, problem.start(rest), (params, cell, pressure, rest), solve=solve)
    return problem.configuration(z, replace(rest, cell=cell))
