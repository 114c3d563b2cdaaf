"""Everything about one small state at once, in compiled code that vmap can batch: its spectrum by
the full eigenvectors, and total derivatives by the adjoint method.

The same formulas as in `mdsens.derivatives.total`, which solves on the host: here the numbers at the
state and one Newton step further, there what becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from mdsens.derivatives.kernels import Kernels, Theta, force_work, hessian_columns, measured
from mdsens.derivatives.named import select
from mdsens.equilibrium.linearized import backbone, dense_hessian
from mdsens.equilibrium.newton import measure
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.gauge import zero_modes
from mdsens.linear import Dense, Operator

Functions = tuple[tuple[str, Callable[..., Any]], ...]


class Pieces(NamedTuple):
    """A derivative at the state and one step further, (c, *parameter), and its direct part."""

    here: jax.Array
    there: jax.Array
    direct: jax.Array


class Analysis(NamedTuple):
    """What is known of a state.

    Attributes:
        lowest, largest, negative, zero_modes, rattlers, sound: as in `Linearization`.
        outcome, residual: of the linear solves.
        values: every observable.
        swings: |do/dz| times the particle spacing, of observables whose derivatives are solved for.
        pieces: by observable and parameter.
    """

    lowest: jax.Array
    largest: jax.Array
    negative: jax.Array
    zero_modes: jax.Array
    rattlers: jax.Array
    sound: jax.Array
    outcome: jax.Array
    residual: jax.Array
    values: dict[str, jax.Array]
    swings: dict[str, jax.Array]
    pieces: dict[str, dict[str, Pieces]]


def analyse(
    problem: Problem,
    functions: Functions,
    differentiated: tuple[str, ...],
    wrt: tuple[str, ...],
    setting: Setting,
) -> Analysis:
    """The spectrum, the observables, and the derivatives of some of them at a fixed cell.

    Args:
        functions: observables by name; none that need displacements, nor positions.
        differentiated: the names of those to differentiate.
        wrt: the parameters.
    """
    found = backbone(problem, setting)
    s, project = found.setting, found.projector
    hessian = dense_hessian(problem, s)
    operator = Operator(lambda v: hessian @ v, project.size)
    theta: Theta = select(s.params, list(wrt))
    gradient = measure(problem, s)[0]
    z0 = jnp.zeros_like(gradient)
    by_name = dict(functions)
    solved = [name for name in differentiated if name != "energy"]
    at_z0 = {n: _slopes(problem, by_name[n], z0, theta, s) for n in differentiated}
    columns = jnp.concatenate([at_z0[n][1] for n in solved] + [-gradient[:, None]], axis=1)
    w0, info = Dense().solve(operator, columns, project)
    outcome, correction, w0 = info.outcome, w0[:, -1], w0[:, :-1]
    at_z1 = {n: _slopes(problem, by_name[n], correction, theta, s) for n in differentiated}
    pieces = {}
    if "energy" in differentiated:
        # The function that is minimised has no slope at the minimum: no solve, no response.
        here, there = at_z0["energy"][2], at_z1["energy"][2]
        pieces["energy"] = {p: Pieces(here[p], there[p], here[p]) for p in theta}
    if solved:
        v1 = jnp.concatenate([at_z1[n][1] for n in solved], axis=1)
        lacking = project(v1 - hessian_columns(problem, correction, s, w0))
        change, missed = Dense().solve(operator, lacking, project)
        outcome = jnp.maximum(outcome, missed.outcome)
        w1 = w0 + change
        work0 = force_work(problem, z0, theta, s, w0)
        work1 = force_work(problem, correction, theta, s, w1)
        start = 0
        for name in solved:
            part = slice(start, start := start + at_z0[name][1].shape[1])
            pieces[name] = {
                p: Pieces(
                    at_z0[name][2][p] - work0[p][part],
                    at_z1[name][2][p] - work1[p][part],
                    at_z0[name][2][p],
                )
                for p in theta
            }
    return Analysis(
        lowest=info.lowest,
        largest=jnp.max(jnp.sum(jnp.abs(hessian), axis=1)),
        negative=info.negative,
        zero_modes=zero_modes(project),
        rattlers=found.rattlers,
        sound=found.sound,
        outcome=outcome,
        residual=info.residual,
        values=measured(problem, {n: Partial(f) for n, f in functions}, s),
        swings={n: spacing(s) * jnp.linalg.norm(at_z0[n][1]) for n in solved},
        pieces=pieces,
    )


def _slopes(
    problem: Problem, function: Callable[..., Any], z: jax.Array, theta: Theta, setting: Setting
) -> tuple[jax.Array, jax.Array, Theta]:
    return Kernels(problem, Partial(function)).slopes(z, theta, setting)
