"""Descent to a force tolerance, compiled: a minimizer, a neighbour list, and when to stop."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.equilibrium.minimizers import MINIMIZERS
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.scaled import Scaled, Step
from mdsens.neighbors import Pairs, count_nearby, most_neighbors, nearby

# Steps without a new lowest residual before giving up: an avalanche late in the relaxation of a packing
# raises the forces tenfold for thousands of steps.
_PATIENCE = 20_000

# The largest curvature and the force scale where a descent began; see `scales`.
Units = tuple[jax.Array, jax.Array]


class Progress(NamedTuple):
    """Where a descent stands.

    Attributes:
        z: (n,) unknowns.
        memory: the minimizer's own state.
        steps: steps made since the beginning of the search.
        residual: convergence measure at z.
        best: lowest residual so far, and `idle` steps since it last fell.
        fresh: the neighbour list holds at z; where not, the residual is not to be trusted.
    """

    z: jax.Array
    memory: Any
    steps: jax.Array
    residual: jax.Array
    best: jax.Array
    idle: jax.Array
    fresh: jax.Array


@partial(jax.jit, static_argnames=("problem", "name"))
def begin(
    problem: Problem,
    name: str,
    setting: Setting,
    units: Units,
    measured: tuple[jax.Array, jax.Array],
    steps: Any,
) -> Progress:
    """The start of a descent at z = 0 after `steps` steps, with a list that holds there;
    `measured`: gradient and residual."""
    gradient, residual = measured
    z, never = problem.start(setting), jnp.asarray(0)
    gradient = _in_gauge(gradient, setting)
    memory = MINIMIZERS[name].init(_scaled(problem, setting, units), z, gradient / units[0])
    return Progress(z, memory, jnp.asarray(steps), residual, residual, never, jnp.asarray(True))


@partial(jax.jit, static_argnames=("problem", "name", "room", "width"))
def descend(
    problem: Problem,
    name: str,
    setting: Setting,
    units: Units,
    target: Any,
    budget: Any,
    progress: Progress,
    slack: Any = 0.0,
    room: int | None = None,
    width: int | None = None,
) -> Progress:
    """Go on until the residual is below `target`, `steps` reaches `budget`, the residual stops
    falling, or the list no longer holds.

    Args:
        room: with room for so many pairs a shorter list (see `nearby`) is taken from the setting's
            again and again, `slack` wide; too little room ends the descent as a list does that no
            longer holds. None: the setting's list is used as it is.
        width: neighbours per particle in the shorter list's table, if the potential uses one.
    """
    if room is None:
        return _sweep(problem, name, setting, units, target, budget, progress)
    cutoff = problem.potential.cutoff(setting.params)
    reach = problem.potential.reach(setting.params, setting.neighbors)

    def again(carry: tuple[Progress, jax.Array]) -> tuple[Progress, jax.Array]:
        p, _ = carry
        here = problem.configuration(p.z, setting)
        pairs = nearby(setting.neighbors, *here, reach, slack, cutoff, room, width)
        close = replace(setting, neighbors=pairs)
        p = _sweep(problem, name, close, units, target, budget, p)
        there = problem.configuration(p.z, setting)
        holds = setting.neighbors.holds_for(*there, cutoff + slack)
        return p, ~p.fresh & holds & ~pairs.overflow

    return jax.lax.while_loop(lambda carry: carry[1], again, (progress, jnp.asarray(True)))[0]


def _sweep(
    problem: Problem,
    name: str,
    setting: Setting,
    units: Units,
    target: Any,
    budget: Any,
    progress: Progress,
) -> Progress:
    """`descend` with one list, which holds where it begins."""
    minimizer = MINIMIZERS[name]
    scaled = _scaled(problem, setting, units)
    cutoff = problem.potential.cutoff(setting.params)

    def measured(step: Step, p: Progress) -> Progress:
        residual = problem.residual(step.gradient * units[0], setting)
        better = residual < 0.99 * p.best
        fresh = setting.neighbors.holds_for(*problem.configuration(step.z, setting), cutoff)
        best = jnp.where(better, residual, p.best)
        idle = jnp.where(better, 0, p.idle + 1)
        return Progress(step.z, step.memory, p.steps + 1, residual, best, idle, fresh)

    def unfinished(p: Progress) -> jax.Array:
        going = (p.residual > target) & (p.steps < budget) & jnp.isfinite(p.residual)
        return going & p.fresh & (p.idle < _PATIENCE)

    def advance(p: Progress) -> Progress:
        return measured(minimizer.step(scaled, p.z, p.memory), p)

    start = progress._replace(fresh=~setting.neighbors.overflow)
    return jax.lax.while_loop(unfinished, advance, start)


@partial(jax.jit, static_argnames="problem")
def crowd(
    problem: Problem, setting: Setting, there: Setting, slack: Any
) -> tuple[jax.Array, jax.Array]:
    """How many pairs a list `slack` wider than the reach of each pair holds `there`, and how many
    neighbours closer than that and the cutoff a particle has at most."""
    pairs: Pairs = setting.neighbors
    here = (there.positions, there.cell)
    reach = problem.potential.reach(setting.params, pairs)
    within = problem.potential.cutoff(setting.params) + slack
    return count_nearby(pairs, *here, reach + slack), most_neighbors(pairs, *here, within)


def _scaled(problem: Problem, setting: Setting, units: Units) -> Scaled:
    curvature, force = units
    return Scaled(
        lambda y: problem.objective(y, setting) / curvature,
        lambda y: _in_gauge(problem.gradient(y, setting), setting) / curvature,
        force / curvature,
        setting,
    )


def _in_gauge(gradient: jax.Array, setting: Setting) -> jax.Array:
    """The gradient (n,) without a mean over particles, if none is fixed: what it has of one by
    round-off would let all of them drift, by 1e-8 and more where forces come from networks."""
    n, d = setting.positions.shape
    slope = gradient[: n * d].reshape(n, d)
    mean = jnp.mean(slope, axis=0, keepdims=True)
    still = jnp.where(jnp.any(jnp.asarray(setting.fixed)), 0.0, mean)
    return jnp.concatenate([(slope - still).reshape(-1), gradient[n * d :]])
