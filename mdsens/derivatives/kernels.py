"""The compiled pieces of a sensitivity: partial derivatives of observables and of the forces.

Notation: z unknowns (n,), theta parameters, F = dW/dz, A = dF/dz, o observable flattened to (c,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.derivatives.named import replaced
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.state import Configuration

Theta = dict[str, jax.Array]


@dataclass(frozen=True)
class Kernels:
    """Functions of one problem and one observable, compiled once per shape.

    `observable(potential, params, state)` may return any shape; it is flattened here.
    """

    problem: Problem
    observable: Callable[..., Any]

    @partial(jax.jit, static_argnums=0)
    def value(self, z: jax.Array, theta: Theta, setting: Setting) -> jax.Array:
        """o(z, theta), (c,)."""
        setting = with_parameters(setting, theta)
        positions, cell = self.problem.configuration(z, setting)
        state = Configuration(positions, cell, setting.neighbors, self.problem.pbc)
        return jnp.ravel(self.observable(self.problem.potential, setting.params, state))

    @partial(jax.jit, static_argnums=0)
    def gradient_z(self, z: jax.Array, theta: Theta, setting: Setting) -> jax.Array:
        """do/dz at fixed theta, (n, c)."""
        return jax.jacrev(self.value)(z, theta, setting).T

    @partial(jax.jit, static_argnums=0)
    def partial_theta(self, z: jax.Array, theta: Theta, setting: Setting) -> Theta:
        """do/dtheta at fixed z, (c, *shape) each."""
        return jax.jacrev(self.value, argnums=1)(z, theta, setting)

    @partial(jax.jit, static_argnums=0)
    def adjoint_total(self, z: jax.Array, theta: Theta, setting: Setting, w: jax.Array) -> Theta:
        """do/dtheta - w^T dF/dtheta for the adjoints w (n, c): the total derivative."""
        direct = jax.jacrev(self.value, argnums=1)(z, theta, setting)
        through = jax.vmap(lambda v: force_work(self.problem, z, theta, setting, v))(w.T)
        return jax.tree.map(lambda a, b: a - b, direct, through)

    @partial(jax.jit, static_argnums=0)
    def forward_total(
        self, z: jax.Array, theta: Theta, setting: Setting, dz: jax.Array, directions: Theta
    ) -> jax.Array:
        """(c, k) derivatives along k directions of theta with responses dz (n, k)."""

        def along(u: jax.Array, t: Theta) -> jax.Array:
            return jax.jvp(lambda y, p: self.value(y, p, setting), (z, theta), (u, t))[1]

        return jax.vmap(along, in_axes=(1, 0), out_axes=1)(dz, directions)


def with_parameters(setting: Setting, theta: Theta) -> Setting:
    return replace(setting, params=replaced(setting.params, theta))


def force_work(
    problem: Problem, z: jax.Array, theta: Theta, setting: Setting, w: jax.Array
) -> Theta:
    """w^T dF/dtheta for one w (n,): the derivative by theta of the work of the forces along w."""

    def work(t: Theta) -> jax.Array:
        s = with_parameters(setting, t)
        return jax.jvp(lambda y: problem.objective(y, s), (z,), (w,))[1]

    return jax.grad(work)(theta)


@partial(jax.jit, static_argnames="problem")
def force_response(
    problem: Problem, z: jax.Array, theta: Theta, setting: Setting, directions: Theta
) -> jax.Array:
    """(dF/dtheta) t for k directions t, (n, k)."""

    def along(t: Theta) -> jax.Array:
        return jax.jvp(lambda p: problem.gradient(z, with_parameters(setting, p)), (theta,), (t,))[
            1
        ]

    return jax.vmap(along, out_axes=1)(directions)


@partial(jax.jit, static_argnames="problem")
def hessian_columns(problem: Problem, z: jax.Array, setting: Setting, x: jax.Array) -> jax.Array:
    """A(z) X for X (n, c)."""
    return jax.vmap(lambda v: problem.hessian_product(z, setting, v), in_axes=1, out_axes=1)(x)


@partial(jax.jit, static_argnames="problem")
def moved_positions(problem: Problem, setting: Setting, dz: jax.Array) -> jax.Array:
    """d(positions) for responses dz (n, p), strains included: (p, N d)."""

    def along(u: jax.Array) -> jax.Array:
        start = problem.start(setting)
        return jax.jvp(lambda z: problem.configuration(z, setting)[0], (start,), (u,))[1].reshape(
            -1
        )

    return jax.vmap(along, in_axes=1)(dz)


@partial(jax.jit, static_argnames=("problem", "functions"))
def measured(
    problem: Problem, functions: tuple[Callable[..., Any], ...], setting: Setting
) -> tuple[jax.Array, ...]:
    """Every observable at the state."""
    state = Configuration(setting.positions, setting.cell, setting.neighbors, problem.pbc)
    return tuple(f(problem.potential, setting.params, state) for f in functions)
