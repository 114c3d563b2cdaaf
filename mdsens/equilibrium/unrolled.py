"""A relaxation as an `Iteration`: what estimators other than the implicit one differentiate.

Two methods have the minimum for a fixed point. The minimizer itself, from the start, is what
`Automatic` unrolls. At the minimum a gradient step,

    T(z) = P (z - g(z; params) / k),    k the largest curvature,

serves `OneStep` and `Neumann`, which need no history; `Analytic` takes no step at all. What sets the
size of steps (k, the unit of length) is a constant to derivatives.

A setting is "live" here: its params, cell and pressure are those to differentiate by.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mdsens.equilibrium.arguments import lister
from mdsens.equilibrium.linearized import backbone
from mdsens.equilibrium.minimizers import MINIMIZERS
from mdsens.equilibrium.newton import measure
from mdsens.equilibrium.plan import Plan
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.equilibrium.scaled import Scaled, Step, scales
from mdsens.errors import InputError, NotConverged
from mdsens.implicit import Automatic, Estimator, Iteration
from mdsens.neighbors import AllPairs
from mdsens.state import Report
from mdsens.system import System, heights

_UNROLLABLE = ("fire", "gradient_descent")
# A list of all pairs reaches this much farther than the cutoff at the start, for a shrinking cell.
_REACH = 1.3


@partial(jax.jit, static_argnames=("problem", "estimator"))
def at_minimum(problem: Problem, estimator: Estimator, live: Setting) -> Setting:
    """The minimum at z = 0, differentiated by `estimator.at`.

    NaN derivatives where a step is asked for and what looks like rattlers carries load.
    """
    here = backbone(problem, jax.lax.stop_gradient(live))
    mask = jnp.where(here.sound, here.projector.mask, jnp.nan)
    projector = replace(here.projector, mask=mask)
    curvature = scales(problem, here.setting)[0]
    live = replace(live, neighbors=here.setting.neighbors)

    def step(z: jax.Array, live: Setting) -> jax.Array:
        return projector(z - problem.gradient(z, live) / curvature)

    return _moved(problem, live, estimator.at(Iteration(step), problem.start(live), live))


class Course(NamedTuple):
    """What a minimizer needs to know.

    Attributes:
        live: the start, z = 0, with its neighbour list.
        curvature: k, constant.
        source: makes neighbour lists.
        species: of the particles, for the lists.
    """

    live: Setting
    curvature: jax.Array
    source: Any
    species: tuple[str, ...]


def by_minimizer(
    problem: Problem,
    estimator: Automatic,
    plan: Plan,
    live: Setting,
    source: Any,
    species: tuple[str, ...],
) -> tuple[Setting, Report]:
    """Where the minimizer ends, differentiated along its way from z = 0; no polish.

    `source` makes the neighbour list anew for every force, so that it holds everywhere.

    Raises:
        InputError: the minimizer's steps cannot be differentiated.
    """
    name = _UNROLLABLE[0] if plan.minimizer == "auto" else plan.minimizer
    if name not in _UNROLLABLE:
        raise InputError(
            f'the steps of minimizer "{name}" are not differentiable (a line search, or the '
            f"norm of a vanishing velocity); Automatic() unrolls {' and '.join(_UNROLLABLE)}"
        )
    source = _trimmed(problem, source, live)
    start = _listed(problem, jax.lax.stop_gradient(live), source, species)
    live = replace(live, neighbors=start.neighbors)
    course = Course(live, scales(problem, start)[0], source, species)
    iteration = minimization(problem, name, plan.fmax, plan.max_steps)
    try:
        z, info = estimator.run(iteration, problem.start(live), course)
    except NotConverged as error:
        z, info = cast(tuple, error.result)
    end = jax.lax.stop_gradient(_moved(problem, live, z))
    end = _listed(problem, end, source, species)
    report = Report(
        converged=info.converged,
        residual=measure(problem, end)[1],
        steps=info.steps,
        newton_steps=jnp.asarray(0),
        neighbors_valid=_holds(problem, end),
        finite=jnp.isfinite(info.residual),
    )
    found = _moved(problem, live, _in_gauge(problem, end, z))
    return replace(found, neighbors=end.neighbors), report


@lru_cache(maxsize=32)
def minimization(problem: Problem, name: str, fmax: float, max_steps: int) -> Iteration:
    """The minimizer from z = 0; one object for each kind, so that it is compiled once."""
    minimizer = MINIMIZERS[name]

    def init(z: jax.Array, course: Course) -> Step:
        scaled = _scaled(problem, course)
        gradient = scaled.gradient(z)
        return Step(z, gradient, minimizer.init(scaled, z, gradient))

    def step(state: Step, course: Course) -> Step:
        return minimizer.step(_scaled(problem, course), state.z, state.memory)

    def gradient(z: jax.Array, course: Course) -> jax.Array:
        return course.curvature * _scaled(problem, course).gradient(z)

    return Iteration(step, gradient, init, lambda state: state.z, fmax, max_steps)


def _scaled(problem: Problem, course: Course) -> Scaled:
    live, curvature, source, species = course

    def around(z: jax.Array) -> tuple[Setting, jax.Array]:
        """The setting with a list made for z, and 1/k; NaN where no such list can be had."""
        there = jax.lax.stop_gradient(_moved(problem, live, z))
        there = _listed(problem, there, source, species)
        unit = jnp.where(_holds(problem, there), 1.0 / curvature, jnp.nan)
        return replace(live, neighbors=there.neighbors), unit

    def energy(z: jax.Array) -> jax.Array:
        setting, unit = around(z)
        return unit * problem.objective(z, setting)

    def gradient(z: jax.Array) -> jax.Array:
        setting, unit = around(z)
        return unit * problem.gradient(z, setting)

    return Scaled(energy, gradient, spacing(jax.lax.stop_gradient(live)), live)


def _trimmed(problem: Problem, source: Any, start: Setting) -> Any:
    """`source` with no more periodic images than are needed, where that is known beforehand."""
    known = jax.lax.stop_gradient((problem.potential.cutoff(start.params), start.cell))
    if not isinstance(source, AllPairs) or any(isinstance(x, Tracer) for x in known):
        return source
    cutoff, cell = known
    height = np.min(heights(np.asarray(cell))[list(source.pbc)], initial=np.inf)
    images = int(np.ceil(max(_REACH * float(cutoff) / height - 0.5, 0.0)))
    return replace(source, images=min(images, source.images))


def _listed(problem: Problem, s: Setting, source: Any, species: tuple[str, ...]) -> Setting:
    here = System(s.positions, s.cell, problem.pbc, species, fixed=())
    return lister(problem, here, source)(s)


def _holds(problem: Problem, s: Setting) -> jax.Array:
    return s.neighbors.holds_for(s.positions, s.cell, problem.potential.cutoff(s.params))


def _moved(problem: Problem, s: Setting, z: jax.Array) -> Setting:
    positions, cell = problem.configuration(z, s)
    return replace(s, positions=positions, cell=cell)


def _in_gauge(problem: Problem, end: Setting, z: jax.Array) -> jax.Array:
    """z with its derivative projected: rattlers and rigid motions are left to no path."""
    here = backbone(problem, end)
    derivative = z - jax.lax.stop_gradient(z)
    # A state that is still far from rest cannot tell its rattlers.
    kept = jnp.where(here.sound, here.projector(derivative), derivative)
    return jax.lax.stop_gradient(z) + kept
