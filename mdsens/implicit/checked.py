"""Checking and refining the answers of a solver about which nothing is known.

    x <- x + solve(A, r),    r = b - A x

until |r| is small, or A^T r is: then r is orthogonal to the range of A and x is a least-squares
solution of a singular system, the best there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mdsens.implicit.leaves import is_traced_now
from mdsens.linear.accuracy import EPS, allowance

Matvec = Callable[[jax.Array], jax.Array]
_POWER_STEPS = 8
# |A^T r| / |A| |r| of a least-squares solution: an error of this size along the eigenvector of an
# eigenvalue 1e-6 |A| still leaves x right to 1e-6.
_ORTHOGONAL = 1e-12
_ROUNDING = 8.0


def transposed(matvec: Matvec, b: jax.Array) -> Matvec:
    """v -> A^T v for a linear function on vectors shaped like b."""
    transpose = jax.linear_transpose(matvec, b)
    return lambda v: transpose(v)[0]


class _State(NamedTuple):
    x: jax.Array
    r: jax.Array
    slope: jax.Array
    rounds: jax.Array
    stalled: jax.Array


def refine_unknown(
    matvec: Matvec,
    transpose: Matvec,
    solve: Matvec,
    b: jax.Array,
    rtol: float,
    rounds: int,
) -> tuple[jax.Array, jax.Array]:
    """(x, whether x solves A x = b) after at most `rounds` calls of `solve`; b is (n,).

    `solve` sees right-hand sides of unit length, so that absolute tolerances in it act as relative
    ones. Rounds end early when neither |r| nor |A^T r| is halved by one.
    """
    size = jnp.linalg.norm(b)
    unit = b / jnp.where(size > 0, size, 1.0)
    norm = spectral_norm(matvec, transpose, b)

    def solved(s: _State) -> jax.Array:
        r = jnp.linalg.norm(s.r)
        small = r <= allowance(jnp.linalg.norm(unit), jnp.linalg.norm(s.x), norm, rtol)
        least = jnp.maximum(_ORTHOGONAL * r, _ROUNDING * EPS * norm * jnp.linalg.norm(s.x))
        return small | ((norm > 0) & (s.slope <= norm * least))

    def again(s: _State) -> _State:
        old = jnp.linalg.norm(s.r)
        x = s.x + old * solve(s.r / old)
        r = unit - matvec(x)
        slope = jnp.linalg.norm(transpose(r))
        new = jnp.linalg.norm(r)
        # The residual of a least-squares solution stays; allow it to wobble by rounding.
        better = (new <= old * (1 + 1e-12)) & jnp.all(jnp.isfinite(x))
        progress = (new < 0.5 * old) | (slope < 0.5 * s.slope)
        return _State(
            jnp.where(better, x, s.x),
            jnp.where(better, r, s.r),
            jnp.where(better, slope, s.slope),
            s.rounds + 1,
            ~(better & progress),
        )

    start = _State(
        jnp.zeros_like(b),
        unit,
        jnp.linalg.norm(transpose(unit)),
        jnp.asarray(0),
        jnp.asarray(False),
    )
    # In eager code the loop is Python's, so that `solve` may be host code (SciPy, for instance).
    loop = lax.while_loop if is_traced_now((unit, matvec(unit))) else _eager_loop
    end = loop(lambda s: ~solved(s) & ~s.stalled & (s.rounds < rounds), again, start)
    return size * end.x, solved(end)


def _eager_loop(
    unfinished: Callable[[_State], jax.Array], advance: Callable[[_State], _State], state: _State
) -> _State:
    while unfinished(state):
        state = advance(state)
    return state


def arbitrary(n: int, seed: float = 1.0) -> jax.Array:
    """A fixed vector (n,) without structure; cheaper to compile than a random number generator."""
    phases = jnp.arange(1.0, n + 1) ** 2
    return jnp.sin(seed * phases) + 0.5 * jnp.cos(0.7 * seed * phases)


def spectral_norm(matvec: Matvec, transpose: Matvec, like: jax.Array) -> jax.Array:
    """|A| from below, to a few per cent, by power iteration on A^T A from a fixed start."""

    def step(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        v = carry[0]
        v = v / jnp.maximum(jnp.linalg.norm(v), 1e-300)
        image = matvec(v)
        return transpose(image), jnp.linalg.norm(image)

    return lax.fori_loop(0, _POWER_STEPS, step, (arbitrary(like.size), jnp.zeros(())))[1]
