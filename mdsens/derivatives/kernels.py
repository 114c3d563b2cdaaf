"""The compiled pieces of a sensitivity: partial derivatives of observables and of the forces.

Notation: z unknowns (n,), theta parameters, F = dW/dz, A = dF/dz, o observable flattened to (c,).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from mdsens.derivatives.named import replaced
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.neighbors import mapped
from mdsens.state import Configuration

Theta = dict[str, jax.Array]

# Columns times pairs that are worked on at the same time.
_PAIR_COLUMNS = 2**22


@dataclass(frozen=True)
class Kernels:
    """Functions of one problem and one observable, compiled once per shape.

    Attributes:
        problem: of the state.
        observable: (potential, params, state) -> array of any shape, which is flattened here; a
            function, with arrays bound to it or not.
    """

    problem: Problem
    observable: Partial

    @jax.jit
    def slopes(
        self, z: jax.Array, theta: Theta, setting: Setting
    ) -> tuple[jax.Array, jax.Array, Theta]:
        """o (c,) and its partial derivatives do/dz (n, c) and do/dtheta (c, *shape) each."""
        value, pull = jax.vjp(lambda y, p: self._value(y, p, setting), z, theta)
        by_z, by_theta = mapped(pull, (jnp.eye(value.size),), _together(setting))
        return value, by_z.T, by_theta

    @jax.jit
    def forward_total(
        self, z: jax.Array, theta: Theta, setting: Setting, dz: jax.Array, directions: Theta
    ) -> tuple[jax.Array, jax.Array]:
        """o (c,), and (c, k) derivatives along k directions of theta with responses dz (n, k)."""

        def value(y: jax.Array, p: Theta) -> jax.Array:
            return self._value(y, p, setting)

        # Nothing is kept from the value for the directions: to fetch it takes longer than to make it.
        def along(dy: jax.Array, t: Theta) -> jax.Array:
            return jax.jvp(value, (z, theta), (dy, t))[1]

        return value(z, theta), mapped(along, (dz.T, directions), _together(setting)).T

    def _value(self, z: jax.Array, theta: Theta, setting: Setting) -> jax.Array:
        setting = with_parameters(setting, theta)
        positions, cell = self.problem.configuration(z, setting)
        state = state_of(self.problem, replace(setting, positions=positions, cell=cell))
        return jnp.ravel(self.observable(self.problem.potential, setting.params, state))


jax.tree_util.register_dataclass(Kernels, data_fields=["observable"], meta_fields=["problem"])


def state_of(problem: Problem, setting: Setting) -> Configuration:
    """The configuration that observables are measured at."""
    s = setting
    return Configuration(s.positions, s.cell, s.neighbors, problem.pbc, fixed=s.fixed)


def _together(setting: Setting) -> int:
    """Columns worked on at the same time: each needs as much memory as a whole derivative."""
    return max(1, _PAIR_COLUMNS // setting.neighbors.i.shape[0])


def with_parameters(setting: Setting, theta: Theta) -> Setting:
    return replace(setting, params=replaced(setting.params, theta))


@partial(jax.jit, static_argnames="problem")
def force_work(
    problem: Problem, z: jax.Array, theta: Theta, setting: Setting, w: jax.Array
) -> Theta:
    """w^T dF/dtheta for columns w (n, c): the derivative by theta of the work of the forces along w."""

    def work(t: Theta, v: jax.Array) -> jax.Array:
        s = with_parameters(setting, t)
        return jax.jvp(lambda y: problem.objective(y, s), (z,), (v,))[1]

    return mapped(lambda v: jax.grad(work)(theta, v), (w.T,), _together(setting))


@partial(jax.jit, static_argnames="problem")
def force_response(
    problem: Problem, z: jax.Array, theta: Theta, setting: Setting, directions: Theta
) -> jax.Array:
    """(dF/dtheta) t for k directions t, (n, k)."""

    def along(t: Theta) -> jax.Array:
        return jax.jvp(lambda p: problem.gradient(z, with_parameters(setting, p)), (theta,), (t,))[
            1
        ]

    return mapped(along, (directions,), _together(setting)).T


@partial(jax.jit, static_argnames="problem")
def hessian_columns(problem: Problem, z: jax.Array, setting: Setting, x: jax.Array) -> jax.Array:
    """A(z) X for X (n, c)."""
    product = partial(problem.hessian_product, z, setting)
    return mapped(product, (x.T,), _together(setting)).T


@partial(jax.jit, static_argnames="problem")
def moved_positions(problem: Problem, setting: Setting, dz: jax.Array) -> jax.Array:
    """d(positions) for responses dz (n, p), strains included: (p, N d)."""

    def along(u: jax.Array) -> jax.Array:
        start = problem.start(setting)
        return jax.jvp(lambda z: problem.configuration(z, setting)[0], (start,), (u,))[1].reshape(
            -1
        )

    return jax.vmap(along, in_axes=1)(dz)


@partial(jax.jit, static_argnames="problem")
def measured(
    problem: Problem, functions: dict[str, Partial], setting: Setting
) -> dict[str, jax.Array]:
    """Every observable at the state."""
    state = state_of(problem, setting)
    return {n: f(problem.potential, setting.params, state) for n, f in functions.items()}
