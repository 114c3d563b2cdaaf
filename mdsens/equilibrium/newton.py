"""Newton's method at the end: quadratic convergence from a loose minimum to the floor of float64."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.equilibrium.linearized import (
    Backbone,
    assembled_hessian,
    backbone,
    cholesky,
    operator_at,
)
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.linear import Dense, SparseDirect

MAX_ITERATIONS = 12
# A longer step than this fraction of the particle spacing leaves the region where the quadratic
# model (and the list of contacts) means anything.
_TRUST = 0.1


@partial(jax.jit, static_argnames="problem")
def measure(problem: Problem, setting: Setting) -> tuple[jax.Array, jax.Array]:
    """Gradient and residual at the reference."""
    gradient = problem.gradient(problem.start(setting), setting)
    return gradient, problem.residual(gradient, setting)


@partial(jax.jit, static_argnames="problem")
def move(problem: Problem, setting: Setting, step: jax.Array) -> Setting:
    """The reference moved by z = step, no further than the trust radius allows."""
    n, d = setting.positions.shape
    length = jnp.sqrt(jnp.max(jnp.sum(step[: n * d].reshape(n, d) ** 2, axis=1), initial=0.0))
    step = step * jnp.minimum(1.0, _TRUST * spacing(setting) / jnp.maximum(length, 1e-300))
    positions, cell = problem.configuration(step, setting)
    return replace(setting, positions=positions, cell=cell)


@partial(jax.jit, static_argnames=("problem", "solver"))
def _traced_step(problem: Problem, setting: Setting, solver: Any) -> tuple[jax.Array, jax.Array]:
    here = backbone(problem, setting)
    gradient = problem.gradient(problem.start(setting), here.setting)
    if isinstance(solver, Dense):
        step = _cholesky_step(problem, here, gradient)
    else:
        operator = operator_at(problem, here.setting)
        step = solver.solve(operator, -gradient, here.projector)[0]
    # A saddle attracts Newton's method as much as a minimum: where curvature is negative, descend.
    downhill = jnp.all(jnp.isfinite(step))
    return jnp.where(downhill, step + here.nudge, 0.0), downhill


def _cholesky_step(problem: Problem, here: Backbone, gradient: jax.Array) -> jax.Array:
    """-(P H P)^+ P g; NaN if H is not positive."""
    p = here.projector
    factor, _ = cholesky(problem, here)
    return p(jax.scipy.linalg.cho_solve((factor, True), -p(gradient)))


def _host_step(problem: Problem, setting: Setting) -> tuple[jax.Array, bool]:
    here: Backbone = backbone(problem, setting)
    matrix = assembled_hessian(problem, here.setting)
    factor = SparseDirect().factorize(matrix, here.projector)
    step, _ = factor.solve(-np.asarray(measure(problem, here.setting)[0]))
    # Unknown inertia (-1) is left to the certificate.
    downhill = factor.inertia <= 0 and bool(np.isfinite(step).all())
    return jnp.asarray(step) + here.nudge, downhill


def newton_step(problem: Problem, setting: Setting, solver: Any) -> tuple[jax.Array, Any]:
    """-(P H P)^+ g, and whether H is positive there (else the step is not to be taken)."""
    if isinstance(solver, SparseDirect):
        return _host_step(problem, setting)
    return _traced_step(problem, setting, solver)


def polish_eager(
    problem: Problem, setting: Setting, solver: Any, goal: float
) -> tuple[Setting, float, int]:
    """Newton steps until the residual is below `goal` or falls no more: (state, residual, steps)."""
    residual = float(measure(problem, setting)[1])
    for count in range(MAX_ITERATIONS):
        if not residual > goal:
            return setting, residual, count
        step, downhill = newton_step(problem, setting, solver)
        trial = move(problem, setting, step) if downhill else setting
        after = float(measure(problem, trial)[1])
        if not after < 0.9 * residual:
            return setting, residual, count
        setting, residual = trial, after
    return setting, residual, MAX_ITERATIONS


def polish_traced(
    problem: Problem, setting: Setting, solver: Any, goal: jax.Array
) -> tuple[Setting, jax.Array, jax.Array]:
    """`polish_eager` as a JAX loop."""

    def unfinished(carry):
        _, residual, count, falling = carry
        return falling & (residual > goal) & (count < MAX_ITERATIONS)

    def advance(carry):
        here, residual, count, _ = carry
        step, downhill = _traced_step(problem, here, solver)
        trial = move(problem, here, step)
        after = measure(problem, trial)[1]
        better = downhill & (after < 0.9 * residual)
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), trial, here)
        return kept, jnp.where(better, after, residual), count + better, better

    setting = jax.tree.map(jnp.asarray, setting)
    start = (setting, measure(problem, setting)[1], jnp.asarray(0), jnp.asarray(True))
    end = jax.lax.while_loop(unfinished, advance, start)
    return end[:3]
