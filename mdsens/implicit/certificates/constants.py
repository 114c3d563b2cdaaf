"""The constants of the theorem that bounds the error of an implicit Jacobian.

    |J(x) - J(x*)| <= (beta / alpha + gamma R / alpha^2) |x - x*|

alpha: smallest singular value of A, R = |B|, gamma and beta: Lipschitz constants of A and B.
Blondel et al. 2022, theorem 1, arXiv:2105.15183.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mdsens.implicit.certificates.equation import Equation, Map
from mdsens.implicit.checked import arbitrary
from mdsens.linear.accuracy import EPS
from mdsens.linear.lanczos import largest_curvature

_SWEEPS = 20
Bilinear = Callable[[jax.Array, jax.Array], jax.Array]
# Differences of products below this many roundings are noise.
_NOISE = 64.0


@jax.jit
def response_norm(equation: Equation, x: jax.Array) -> jax.Array:
    """R = |B|."""
    return _norm(equation.response(x), equation.pull(x), x.size)


class Lipschitz(NamedTuple):
    """gamma and beta."""

    gamma: jax.Array
    beta: jax.Array


@jax.jit
def lipschitz(
    equation: Equation, x: jax.Array, step: jax.Array, norm: jax.Array, response_norm: jax.Array
) -> Lipschitz:
    """The Lipschitz constants of A and B about x, from below.

    The larger of the norm of the derivative there, max |F_xx[d, v]| over unit vectors d and v (and
    |F_xtheta[d, t]|), and of the change along the whole step, |A(x + step) - A(x)| / |step|, which
    sees kinks too. The first by alternating power iteration, started from the step and from two
    arbitrary directions, the second by Lanczos.

    De Lathauwer, De Moor, Vandewalle 2000, doi:10.1137/S0895479898346995.
    """
    there = x + step

    def second(d: jax.Array, v: jax.Array) -> jax.Array:
        return jax.jvp(lambda y: equation.jacobian(y)(v), (x,), (equation.projector(d),))[1]

    def mixed(d: jax.Array, t: jax.Array) -> jax.Array:
        return jax.jvp(lambda y: equation.response(y)(t), (x,), (equation.projector(d),))[1]

    def constant(
        bilinear: Bilinear, size: int, maps: Any, transposes: Any, noise: jax.Array
    ) -> Any:
        starts = jnp.stack([step, arbitrary(x.size, 1.0), arbitrary(x.size, 2.0)])
        other = arbitrary(size, 3.0)
        local = jnp.max(jax.vmap(lambda d: _bilinear_norm(bilinear, d, other))(starts))
        jump = _norm(_between(maps, x, there), _between(transposes, x, there), x.size)
        length = jnp.maximum(jnp.linalg.norm(step), 1e-300)
        return jnp.maximum(local, jnp.where(jump > _NOISE * EPS * noise, jump / length, 0.0))

    return Lipschitz(
        constant(second, x.size, equation.jacobian, equation.transposed, norm),
        constant(mixed, equation.theta.size, equation.response, equation.pull, response_norm),
    )


def _between(maps: Callable[[jax.Array], Map], here: jax.Array, there: jax.Array) -> Map:
    """How much a linear map differs between two points."""
    one, other = maps(here), maps(there)
    return lambda v: other(v) - one(v)


def _bilinear_norm(form: Bilinear, d: jax.Array, v: jax.Array) -> jax.Array:
    """max |form(d, v)| over unit d and v: with the image fixed, best d, best v, in turn."""

    def sweep(_: Any, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        d, v = pair
        image, pull = jax.vjp(form, d, v)
        d = _unit(pull(_unit(image))[0])
        image, pull = jax.vjp(form, d, v)
        return d, _unit(pull(_unit(image))[1])

    return jnp.linalg.norm(form(*lax.fori_loop(0, _SWEEPS, sweep, (_unit(d), _unit(v)))))


def _unit(v: jax.Array) -> jax.Array:
    size = jnp.linalg.norm(v)
    return v / jnp.where(size > 0, size, 1.0)


def _norm(apply: Map, transpose: Map, rows: int) -> jax.Array:
    """The 2-norm of a linear map onto vectors (rows,)."""
    return jnp.sqrt(largest_curvature(lambda w: apply(transpose(w)), rows))
