"""The response of a state to strain: solving for its nonaffine displacements."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mdsens.equilibrium.derivative import prepare, prepare_eager
from mdsens.equilibrium.linearized import (
    Backbone,
    backbone,
    inverse_at,
    solved_by,
    solver_for,
)
from mdsens.equilibrium.newton import measure
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.errors import DerivativeUndefined, InputError
from mdsens.implicit import Certified, Side, guard
from mdsens.linear import HostSolver
from mdsens.observables.configuration import is_traced
from mdsens.observables.nonaffine import Response, imbalance, no_displacements

# Farther from its minimum than this fraction of the particle spacing, a state is not relaxed.
_RELAXED = 1e-3


def respond(problem: Problem, setting: Setting, strains: np.ndarray) -> Response:
    """The response of a relaxed state; NaN under jit where there is none.

    Args:
        problem: of the fixed cell.
        setting: the state, in equilibrium.
        strains: (s, d, d), symmetric.

    Raises:
        InputError: the state is not relaxed.
        DerivativeUndefined: it is a saddle, marginal, or has zero modes that nothing explains.
    """
    still = jax.lax.stop_gradient(setting)
    if is_traced(still):
        bare, solve = prepare(problem, still)
        u = _solved_traced(problem, bare, strains, solve)
        return _differentiable(setting, Response(bare, strains, u, solve))
    here = backbone(problem, still)
    known = Response(here.setting, strains, _solved_on_host(problem, here, strains), None)
    if any(isinstance(x, Tracer) for x in jax.tree.leaves(setting)):
        return _differentiable(setting, known._replace(solve=prepare_eager(problem, still)[1]))
    return known


def _differentiable(setting: Setting, known: Response) -> Response:
    """Compiled code can only say NaN; around it, eager derivatives are told in words."""
    given = {
        name: jax.tree.map(lambda x: guard(x, Side.INPUT), getattr(setting, name))
        for name in ("params", "positions", "cell")
    }
    return known._replace(setting=replace(setting, neighbors=known.setting.neighbors, **given))


def watched(response: Response, value: jax.Array) -> jax.Array:
    """What was computed from a response, with NaN of its derivatives told in words."""
    return value if response.solve is None else guard(value, Side.OUTPUT)


@partial(jax.jit, static_argnames="problem")
def _solved_traced(problem: Problem, setting: Setting, strains: Any, solve: Certified) -> jax.Array:
    """U, all NaN for a state that is not relaxed or no minimum."""

    def matvec(v: jax.Array) -> jax.Array:
        return problem.hessian_product(problem.start(setting), setting, v)

    rhs = _right_hand_sides(problem, setting, strains)
    x = jax.vmap(lambda b: solve(matvec, b), in_axes=1, out_axes=1)(rhs)
    return jnp.where(_distance(setting, x[:, -1]) <= _RELAXED, x[:, :-1], jnp.nan)


def _solved_on_host(problem: Problem, here: Backbone, strains: np.ndarray) -> jax.Array:
    setting = here.setting
    if not bool(here.sound):
        raise DerivativeUndefined(
            "elastic constants: particles with fewer than d + 1 contacts carry load, so the state "
            "is marginal; perturb or compress it and relax again"
        )
    solver, _ = solver_for(problem, here.projector.size, traced=False)
    rhs = _right_hand_sides(problem, setting, strains)
    if isinstance(solver, HostSolver):
        x, info = inverse_at(solver, problem, here).solve(np.asarray(rhs))
    else:
        x, info = solved_by(solver, problem, setting, here.projector, rhs)
    info.raise_if_failed()
    if int(info.negative) > 0:
        raise DerivativeUndefined(
            f"elastic constants: the state is a saddle with {int(info.negative)} negative modes; "
            "perturb it and relax again"
        )
    distance = float(_distance(setting, x[:, -1]))
    if distance > _RELAXED:
        raise InputError(
            f"elastic constants: the state is {distance:.2g} particle spacings away from its "
            "minimum, so forces would add to the strain's; relax it first"
        )
    return jnp.asarray(x[:, :-1])


@partial(jax.jit, static_argnames="problem")
def _right_hand_sides(problem: Problem, setting: Setting, strains: Any) -> jax.Array:
    """-Xi and, as the last column, the forces, (N d, s + 1)."""
    forces = imbalance(problem, setting, strains, no_displacements(setting, strains))
    return -jnp.column_stack([forces, measure(problem, setting)[0]])


@jax.jit
def _distance(setting: Setting, step: jax.Array) -> jax.Array:
    """The largest displacement of a Newton step, in particle spacings."""
    moves = step.reshape(setting.positions.shape)
    return jnp.sqrt(jnp.max(jnp.sum(moves**2, axis=1), initial=0.0)) / spacing(setting)
