"""A problem in units of its own stiffness, and what a minimizer is.

No minimizer knows a unit. Forces are divided by the largest curvature k of the energy at the start,
which makes them lengths: a step of gradient descent is the force itself, and the highest vibration
has frequency one, so that one time step fits soft and hard, reduced and metal units alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.linear import largest_curvature


class Scaled(NamedTuple):
    """Energy/k and gradient/k of displacements z, and the particle spacing as a length."""

    energy: Any
    gradient: Any
    length: jax.Array
    setting: Setting


class Step(NamedTuple):
    """Where a minimizer is after a step, the scaled gradient there, and what it remembers."""

    z: jax.Array
    gradient: jax.Array
    memory: Any


class Minimizer(Protocol):
    """init: a memory at z, where the scaled gradient is known. step: one more gradient or so."""

    def init(self, problem: Scaled, z: jax.Array, gradient: jax.Array) -> Any: ...
    def step(self, problem: Scaled, z: jax.Array, memory: Any) -> Step: ...


@partial(jax.jit, static_argnames="problem")
def scales(problem: Problem, setting: Setting) -> tuple[jax.Array, jax.Array]:
    """The largest curvature of W at z = 0, never zero, and the force scale: that times a spacing."""
    z = problem.start(setting)
    k = largest_curvature(lambda v: problem.hessian_product(z, setting, v), z.size)
    k = jnp.where(k > 0.0, k, 1.0)
    return k, k * spacing(setting)
