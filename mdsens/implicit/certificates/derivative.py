"""A product with the Jacobian J of a root, as a function D of the point x where it is taken.

    Forward:  A u + B t = 0            D(x) = u
    Reverse:  A^T u + o_x = 0          D(x) = o_theta + B^T u,  the gradient of o(x*(theta), theta)

With o = v . x, Reverse is J^T v. Both have the form: defect(x, u) = 0, D(x) = value(x, u), where u
enters linearly. So the A of one point serves at others nearby, as a preconditioner, and

    dD/dx d = value_x d + value_u u',     u' = -A^-1 (defect_x d).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from mdsens.implicit.certificates.equation import Equation
from mdsens.implicit.certificates.inverse import Inverse

_ROUNDS = 40
_SETTLED = 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Forward:
    """J t for a tangent t (p,)."""

    tangent: jax.Array

    def defect(self, equation: Equation, x: jax.Array, u: jax.Array) -> jax.Array:
        """A u + B t."""
        return equation.jacobian(x)(u) + equation.response(x)(self.tangent)

    def value(self, equation: Equation, x: jax.Array, u: jax.Array) -> jax.Array:
        """u itself."""
        del equation, x
        return u

    def invert(self, inverse: Inverse, b: jax.Array) -> jax.Array:
        """A^-1 b."""
        return inverse.apply(b)

    def gain(self, response_norm: float) -> float:
        """|change of D| / |change of u|."""
        del response_norm
        return 1.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Reverse:
    """The total gradient of outer(x, theta), a scalar."""

    outer: Partial

    def defect(self, equation: Equation, x: jax.Array, u: jax.Array) -> jax.Array:
        """A^T u + o_x."""
        slope = jax.grad(self.outer)(x, equation.theta)
        return equation.transposed(x)(u) + equation.projector(slope)

    def value(self, equation: Equation, x: jax.Array, u: jax.Array) -> jax.Array:
        """o_theta + B^T u."""
        return jax.grad(self.outer, argnums=1)(x, equation.theta) + equation.pull(x)(u)

    def invert(self, inverse: Inverse, b: jax.Array) -> jax.Array:
        """A^-T b."""
        return inverse.apply_transposed(b)

    def gain(self, response_norm: float) -> float:
        """|change of D| / |change of u|, at most."""
        return response_norm


Direction = Forward | Reverse


class Product(NamedTuple):
    """D at one point.

    Attributes:
        value: D, flat.
        unknown: (n,) u.
        left: |defect| that could not be removed.
        settled: u is right to 1e-3 at least; False where the inverse is of no use at this point.
    """

    value: jax.Array
    unknown: jax.Array
    left: float
    settled: bool


def product(
    direction: Direction, equation: Equation, x: jax.Array, inverse: Inverse, u: jax.Array
) -> Product:
    """D(x), by iterative refinement from u; `inverse` is that of A at x or nearby."""
    defect = _defect(direction, equation, x, u)
    last = float("inf")
    for _ in range(_ROUNDS):
        step = direction.invert(inverse, defect)
        length = float(jnp.linalg.norm(step))
        if not length < 0.5 * last:
            break
        u, last = u - step, length
        defect = _defect(direction, equation, x, u)
    settled = last <= _SETTLED * float(jnp.linalg.norm(u))
    left = float(jnp.linalg.norm(defect))
    return Product(_value(direction, equation, x, u), u, left, settled)


def change(
    direction: Direction,
    equation: Equation,
    x: jax.Array,
    inverse: Inverse,
    u: jax.Array,
    step: jax.Array,
) -> jax.Array:
    """dD/dx . step at x, where `inverse` is that of A and u solves defect = 0: one more solve."""
    along = -direction.invert(inverse, _defect_along(direction, equation, x, u, step))
    return _value_along(direction, equation, x, u, step, along)


@jax.jit
def _defect(direction: Direction, equation: Equation, x: jax.Array, u: jax.Array) -> jax.Array:
    return direction.defect(equation, x, u)


@jax.jit
def _value(direction: Direction, equation: Equation, x: jax.Array, u: jax.Array) -> jax.Array:
    return direction.value(equation, x, u)


@jax.jit
def _defect_along(
    direction: Direction, equation: Equation, x: jax.Array, u: jax.Array, step: jax.Array
) -> jax.Array:
    return jax.jvp(lambda y: direction.defect(equation, y, u), (x,), (step,))[1]


@jax.jit
def _value_along(
    direction: Direction,
    equation: Equation,
    x: jax.Array,
    u: jax.Array,
    step: jax.Array,
    along: jax.Array,
) -> jax.Array:
    return jax.jvp(lambda y, w: direction.value(equation, y, w), (x, u), (step, along))[1]
