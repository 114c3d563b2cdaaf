"""Newton's method at the end: quadratic convergence from a loose minimum to the floor of float64."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.equilibrium.linearized import (
    Backbone,
    backbone,
    cholesky,
    operator_at,
)
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.linear import Dense

MAX_ITERATIONS = 12
PATIENCE = 4
# Residuals up to this many times the goal are at the floor of float64.
FLOOR_FACTOR = 1e2
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
def newton_step(problem: Problem, setting: Setting, solver: Any) -> tuple[jax.Array, jax.Array]:
    """-(P H P)^+ g, and whether H is positive there (else the step is zero)."""
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


class _Polish(NamedTuple):
    here: Setting
    best: Setting
    lowest: jax.Array
    made: jax.Array
    failures: jax.Array


def polish_traced(
    problem: Problem, setting: Setting, solver: Any, goal: jax.Array
) -> tuple[Setting, jax.Array, jax.Array]:
    """Newton steps to the floor of float64 as a JAX loop: (best state, its residual, steps made).

    See `polish.polish`, which has the same rules.
    """

    def unfinished(p: _Polish) -> jax.Array:
        going = (p.lowest > goal) & (p.made < MAX_ITERATIONS)
        return going & (p.failures < PATIENCE)

    def advance(p: _Polish) -> _Polish:
        step, downhill = newton_step(problem, p.here, solver)
        here = move(problem, p.here, step)
        residual = measure(problem, here)[1]
        cost = jnp.where((p.lowest <= FLOOR_FACTOR * goal) | ~downhill, PATIENCE, 1)
        failures = jnp.where(downhill & (residual < 0.9 * p.lowest), 0, p.failures + cost)
        better = downhill & (residual < p.lowest)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), here, p.best)
        lowest = jnp.where(better, residual, p.lowest)
        return _Polish(here, best, lowest, p.made + downhill, failures)

    setting = jax.tree.map(jnp.asarray, setting)
    lowest = measure(problem, setting)[1]
    start = _Polish(setting, setting, lowest, jnp.asarray(0), jnp.asarray(0))
    end = jax.lax.while_loop(unfinished, advance, start)
    return end.best, end.lowest, end.made
