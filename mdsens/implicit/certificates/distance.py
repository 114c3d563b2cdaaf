"""How far the root is, from one Newton step and how much a second one would shrink.

    d = -A(x)^-1 F(x),    d' = -A(x)^-1 F(x + d),    |x - x*| = |d| (1 + O(c)),    c = |d'| / |d|

For a quadratic F of one unknown, c -> 1/4 as the start recedes from the root, and c = 1/8 where A
is off by 40 %. Deuflhard, Newton Methods for Nonlinear Problems, doi:10.1007/978-3-642-23899-4.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mdsens.implicit.certificates.equation import Equation
from mdsens.implicit.certificates.inverse import Inverse
from mdsens.implicit.checked import arbitrary
from mdsens.linear.accuracy import EPS

# Beyond this contraction a Newton step says nothing about where the root is.
LARGEST_CONTRACTION = 0.125
# A step below this many roundings of F, amplified by A^-1, is noise.
_NOISE = 16.0


class Distance(NamedTuple):
    """Where the root is.

    Attributes:
        step: (n,) the Newton step d.
        further: (n,) d + d', at whose end the error is of third order.
        contraction: c.
        noise: (n,) A^-1 applied to an arbitrary vector of the size of the rounding in F: how far
            that alone may move the root.
        reached: the step is short enough to tell how far the root is, or as short as rounding lets
            it be.
    """

    step: jax.Array
    further: jax.Array
    contraction: float
    noise: jax.Array
    reached: bool

    @property
    def inflation(self) -> float:
        """What estimates of leading order are multiplied by: 1 + 8 c, at most 2."""
        return 1 + 8 * min(self.contraction, LARGEST_CONTRACTION)

    @property
    def estimate(self) -> float:
        """|x - x*|, rounding included."""
        return self.inflation * _size(self.step) + _size(self.noise)


def measure_distance(
    equation: Equation, x: jax.Array, inverse: Inverse, response_norm: float
) -> Distance:
    """The distance of the root of F from x."""
    # The terms of F, before they cancel, are about as large as these.
    size = inverse.values.largest * _size(x) + response_norm * _size(equation.theta)
    some = arbitrary(x.size)
    noise = inverse.apply(EPS * size / _size(some) * some)
    step = -inverse.apply(_force(equation, x))
    second = -inverse.apply(_force(equation, x + step))
    contraction = _size(second) / max(_size(step), 1e-300)
    floor = _NOISE * EPS * size / inverse.values.smallest
    reached = contraction <= LARGEST_CONTRACTION or _size(step) <= floor
    return Distance(step, step + second, contraction, noise, reached)


@jax.jit
def _force(equation: Equation, x: jax.Array) -> jax.Array:
    return equation.force(x)


def _size(v: jax.Array) -> float:
    return float(jnp.linalg.norm(v))
