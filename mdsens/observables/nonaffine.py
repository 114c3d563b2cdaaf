"""How particles move beyond an affine deformation, and what that takes off the stiffness.

    W(u, e) = E((x + u)(1 + e), h (1 + e)),    H = d2W/du2,    Xi_a = d2W/du de_a
    U_a = -(P H P)^+ P Xi_a                    nonaffine displacements per unit of strain e_a
    K_ab = D2W[(U_a, e_a), (U_b, e_b)]         curvature of the relaxed energy
         = d2W/de_a de_b - Xi_a (P H P)^+ Xi_b

The strains e_a are any s symmetric ones, as many as an observable asks for.
K is stationary in the displacements: dK_ab/dU_a = P (H U_b + Xi_b) = 0. So, as for the energy of a
minimum, the derivative of K by anything is its partial derivative at fixed U (envelope theorem),
and no derivative of U is needed. Second derivatives of K do need it; there U is what it is, the
solution of H U + Xi = 0, and is differentiated by the implicit function theorem.

Lutsko, doi:10.1063/1.341877; Lemaitre, Maloney, doi:10.1007/s10955-005-9015-5.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.equilibrium.problem import Problem, Setting
from mdsens.implicit import Certified, attach
from mdsens.observables.refused import without_derivative


class Response(NamedTuple):
    """How a state answers strain.

    Attributes:
        setting: the state, without the contacts of rattlers.
        strains: e, (s, d, d).
        displacements: U, (N d, s).
        solve: differentiates U, where anything is differentiated; else None.
    """

    setting: Setting
    strains: Any
    displacements: Any
    solve: Certified | None


def curvature(problem: Problem, response: Response) -> jax.Array:
    """K, (s, s), an energy; differentiable in parameters, positions and cell, to any order. Where
    `solve` is None second derivatives are NaN, since nobody knows those of U."""
    return _stationary(problem, *response)


@partial(jax.jit, static_argnames="problem")
def imbalance(problem: Problem, setting: Setting, strains: Any, displacements: Any) -> jax.Array:
    """H U + Xi, (N d, s): minus the forces that U leaves behind; Xi itself for U = 0."""
    return _products(problem, setting, strains, displacements)[: displacements.shape[0]]


def clamped_curvature(problem: Problem, setting: Setting, strains: Any) -> jax.Array:
    """d2W/de_a de_b, (s, s): K of particles that follow the strain."""
    return _curvature_along(problem, setting, strains, no_displacements(setting, strains))


@partial(jax.jit, static_argnames="problem")
def displacements(problem: Problem, response: Response) -> jax.Array:
    """U, (N d, s), differentiable as K is."""
    return _implicit(problem, *response)


def no_displacements(setting: Setting, strains: Any) -> jax.Array:
    """U = 0, (N d, s)."""
    return jnp.zeros((setting.positions.size, len(strains)))


def _curvature_along(
    problem: Problem, setting: Setting, strains: Any, displacements: jax.Array
) -> jax.Array:
    along = jnp.concatenate([displacements, _components(problem, setting, strains)])
    return along.T @ _products(problem, setting, strains, displacements)


def _products(
    problem: Problem, setting: Setting, strains: Any, displacements: jax.Array
) -> jax.Array:
    """(d2W/dz2) Z for the columns Z_a = (U_a, e_a) of z = (u, e)."""
    columns = displacements.T, _components(problem, setting, strains).T
    # One after another: side by side they take five times as long.
    return jax.lax.map(lambda z: _product(problem, setting, *z), columns).T


def _product(problem: Problem, setting: Setting, u: jax.Array, e: jax.Array) -> jax.Array:
    free = _free(problem)
    return free.hessian_product(free.start(setting), setting, jnp.concatenate([u, e]))


def _components(problem: Problem, setting: Setting, strains: Any) -> jax.Array:
    """The strains as columns of e, (v, s)."""
    free = _free(problem)
    basis = jnp.einsum("mij,aij->ma", free.strain_basis(), strains)
    return jax.lax.stop_gradient(free.strain_unit(setting)) * basis


def _free(problem: Problem) -> Problem:
    """W as a function of displacements and strain."""
    return replace(problem, cell_mode="full")


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _stationary(
    problem: Problem, setting: Setting, strains: Any, displacements: Any, solve: Certified | None
) -> jax.Array:
    del solve
    return _curvature_along(problem, setting, strains, displacements)


@_stationary.defjvp
def _envelope_theorem(problem: Problem, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    setting, strains, displacements, solve = primals
    u = _implicit(problem, setting, strains, displacements, solve)
    slope = jax.jvp(lambda s: _curvature_along(problem, s, strains, u), (setting,), tangents[:1])[1]
    return _stationary(problem, setting, strains, displacements, solve), slope


def _implicit(
    problem: Problem, setting: Setting, strains: Any, displacements: Any, solve: Certified | None
) -> jax.Array:
    """U with its derivative, which costs nothing until it is asked for."""
    if solve is None:
        return without_derivative(displacements, (setting.params, setting.positions, setting.cell))

    def balance(u: jax.Array, setting: Setting, e: jax.Array) -> jax.Array:
        return _product(problem, setting, u, e)[: u.size]

    def column(u: jax.Array, e: jax.Array) -> jax.Array:
        return attach(balance, u, (setting, e), solve=solve)

    return jax.vmap(column, in_axes=1, out_axes=1)(
        displacements, _components(problem, setting, strains)
    )
