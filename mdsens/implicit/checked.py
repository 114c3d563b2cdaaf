"""Checking and refining the answers of a solver about which nothing is known.

    x <- x + solve(A, r),    r = b - A x

until |r| is as small as rounding lets it be, or A^T r is: then r is orthogonal to the range of A and
x is a least-squares solution of a singular system, the best there is.
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
# What rounding makes of A^T r must be smaller than soft modes do, for A^T r to mean anything.
_CLEAR = 1e-8
# |A| |x| / |b|, a condition number from below: above it too few digits are left in x, and what A^T r
# shows is rounding.
_VISIBLE = 1e10


def transposed(matvec: Matvec, b: jax.Array) -> Matvec:
    """v -> A^T v for a linear function on vectors shaped like b."""
    transpose = jax.linear_transpose(matvec, b)
    return lambda v: transpose(v)[0]


class Wanted(NamedTuple):
    """What is asked of a solution.

    Attributes:
        rtol: largest relative residual accepted.
        rounds: calls of the solver at most.
        aim: relative residual from which there is nothing to improve; 0 for rounding.
    """

    rtol: float
    rounds: int = 6
    aim: float = 0.0


class _State(NamedTuple):
    """x, what is left of b, |A^T left|, the length of the last correction.

    `left` is carried along, left - A dx, not computed anew: it misses what rounding did to A x, and
    so shows what a solver cannot reduce, however small.
    """

    x: jax.Array
    left: jax.Array
    slope: jax.Array
    last: jax.Array
    rounds: jax.Array
    stalled: jax.Array


def refine_unknown(
    matvec: Matvec, transpose: Matvec, solve: Matvec, b: jax.Array, wanted: Wanted
) -> tuple[jax.Array, jax.Array]:
    """(x, whether x solves A x = b) after a few calls of `solve`; b is (n,).

    `solve` sees right-hand sides of unit length, so that absolute tolerances in it act as relative
    ones. Rounds end early when neither |r| nor |A^T r| is halved by one.
    """
    size = jnp.linalg.norm(b)
    unit = b / jnp.where(size > 0, size, 1.0)
    one = jnp.linalg.norm(unit)
    norm = spectral_norm(matvec, transpose, b)

    def settled(s: _State) -> jax.Array:
        left = jnp.linalg.norm(s.left)
        floor = jnp.maximum(_ROUNDING * EPS * norm * jnp.linalg.norm(s.x), wanted.aim * one)
        return (left <= floor) | ((norm > 0) & (s.slope <= _ORTHOGONAL * norm * left))

    def good(s: _State) -> jax.Array:
        r, x = jnp.linalg.norm(unit - matvec(s.x)), jnp.linalg.norm(s.x)
        left, rounding = jnp.linalg.norm(s.left), _ROUNDING * EPS * norm * s.last
        orthogonal = (norm > 0) & (s.slope <= norm * jnp.maximum(_ORTHOGONAL * left, rounding))
        orthogonal = orthogonal & (rounding <= _CLEAR * left)
        solved = (r <= allowance(one, x, norm, wanted.rtol)) | orthogonal
        return solved & (norm * x <= _VISIBLE * one)

    def again(s: _State) -> _State:
        old = jnp.linalg.norm(s.left)
        step = old * solve(s.left / old)
        left = s.left - matvec(step)
        slope = jnp.linalg.norm(transpose(left))
        new = jnp.linalg.norm(left)
        # The residual of a least-squares solution stays; allow it to wobble by rounding.
        better = (new <= old * (1 + 1e-12)) & jnp.all(jnp.isfinite(step))
        progress = (new < 0.5 * old) | (slope < 0.5 * s.slope)
        return _State(
            jnp.where(better, s.x + step, s.x),
            jnp.where(better, left, s.left),
            jnp.where(better, slope, s.slope),
            jnp.where(better, jnp.linalg.norm(step), s.last),
            s.rounds + 1,
            ~(better & progress),
        )

    slope = jnp.linalg.norm(transpose(unit))
    nothing, zero = jnp.zeros_like(b), jnp.zeros(())
    start = _State(nothing, unit, slope, zero, jnp.asarray(0), jnp.asarray(False))
    # In eager code the loop is Python's, so that `solve` may be host code (SciPy, for instance).
    loop = lax.while_loop if is_traced_now((unit, matvec(unit))) else _eager_loop
    end = loop(lambda s: ~settled(s) & ~s.stalled & (s.rounds < wanted.rounds), again, start)
    return size * end.x, good(end)


def _eager_loop(
    unfinished: Callable[[_State], jax.Array], advance: Callable[[_State], _State], state: _State
) -> _State:
    while unfinished(state):
        state = advance(state)
    return state


def where_needed(
    needed: jax.Array, compute: Callable[[], jax.Array], otherwise: jax.Array
) -> jax.Array:
    """compute() where needed, else `otherwise`.

    A loop of at most one turn: under vmap `lax.cond` runs both its branches always, this runs
    compute() only if a member of the batch needs it.
    """
    no = jnp.asarray(False)
    return lax.while_loop(lambda s: s[0], lambda _: (no, compute()), (needed, otherwise))[1]


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
