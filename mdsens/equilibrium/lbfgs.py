"""L-BFGS that looks at forces only.

An energy of N particles is known to about N eps, a force to eps: a line search that compares
energies stops at forces of 1e-8, and round-off decides where. Here steps are judged by the slope
along them, which keeps its meaning down to the last digit.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from mdsens.equilibrium.scaled import Scaled, Step

# Pairs remembered. More than two save little on packings (2500, 2440, 2260 forces with 2, 5, 8 for
# 2000 discs) and each costs two sweeps over memory; smooth energies gain from a few.
_PAIRS = 5
# No coordinate moves further per step than this fraction of the particle spacing, so that the
# neighbour list holds along the way and particles do not jump across each other.
_LONGEST = 0.1
# A step that ends with more than this fraction of its first slope, uphill, went too far.
_OVERSHOOT = 0.9
# Shortened this much, a step is taken as it is.
_SHORTEST = 1e-4
# s . y below this fraction of |s| |y| is no curvature to learn from.
_FLAT = 1e-10


class _Memory(NamedTuple):
    """What is known at the last accepted z.

    Attributes:
        gradient: (n,) there.
        pairs: (2m, n) rows s, then rows y, each pair scaled to s . y = 1; slots are reused in turn.
            Single precision would be quicker, but moves the centre of mass by round-off.
        sy, yy: (m, m) s_a . y_b and y_a . y_b.
        along: (2m,) products of the rows with the gradient.
        learnt: how many pairs so far.
        shorten: factor of the next step, below one after steps that went too far.
    """

    gradient: jax.Array
    pairs: jax.Array
    sy: jax.Array
    yy: jax.Array
    along: jax.Array
    learnt: jax.Array
    shorten: jax.Array


class LBFGS:
    """Limited-memory BFGS, one gradient per step.

    The step is the quasi-Newton one, no coordinate moving further than a tenth of the particle
    spacing. It is taken unless the slope along it has turned round and become steep; then it is
    tried again, shorter, to where a parabola has its minimum.

    Liu, Nocedal 1989, doi:10.1007/BF01589116; products with H as in Byrd, Nocedal, Schnabel 1994,
    doi:10.1007/BF01582063, theorem 2.2.
    """

    def init(self, problem: Scaled, z: jax.Array, gradient: jax.Array) -> _Memory:
        m, square = _PAIRS, jnp.zeros((_PAIRS, _PAIRS))
        return _Memory(
            gradient, jnp.zeros((2 * m, z.size)), square, square, jnp.zeros(2 * m),
            jnp.asarray(0), jnp.ones(()),
        )  # fmt: skip

    def step(self, problem: Scaled, z: jax.Array, memory: _Memory) -> Step:
        direction, slope = _downhill(memory)
        longest = jnp.max(jnp.abs(direction), initial=1e-300)
        fraction = memory.shorten * jnp.minimum(1.0, _LONGEST * problem.length / longest)
        there = z + fraction * direction
        gradient = problem.gradient(there)
        end = _dot(gradient, direction)
        # What is not finite (particles on top of each other) is too far.
        finite = jnp.isfinite(end)
        accepted = finite & (end <= -_OVERSHOOT * slope) | (memory.shorten < _SHORTEST)
        turning = jnp.clip(slope / (slope - end), 0.1, 0.5)
        shorter = memory.shorten * jnp.where(finite, turning, 0.1)
        moved = jnp.where(accepted, fraction, 0.0)
        gradient = jnp.where(accepted, gradient, memory.gradient)
        memory = _learn(memory, moved * direction, gradient, moved * (end - slope))
        memory = memory._replace(shorten=jnp.where(accepted, 1.0, shorter))
        return Step(jnp.where(accepted, there, z), gradient, memory)


def _downhill(memory: _Memory) -> tuple[jax.Array, jax.Array]:
    """(direction, slope along it): -H g, or -g should round-off have spoilt H."""
    direction = -_product(memory)
    slope = _dot(memory.gradient, direction)
    good = slope < 0.0
    direction = jnp.where(good, direction, -memory.gradient)
    return direction, jnp.where(good, slope, -_dot(memory.gradient, memory.gradient))


def _product(memory: _Memory) -> jax.Array:
    """H g = c g + [S Y] [[R^-T (D + c Y^T Y) R^-1, -c R^-T], [-c R^-1, 0]] [S Y]^T g.

    R is the upper triangle of S^T Y with pairs in the order of time, D = 1 its diagonal, and c
    = s . y / y . y of the last pair the size of the inverse curvature.
    """
    m = memory.sy.shape[0]
    slot = (memory.learnt + jnp.arange(m)) % m  # oldest first
    known = slot < memory.learnt
    both = known[:, None] & known[None, :]
    s_g, y_g = (jnp.where(known, part[slot], 0.0) for part in jnp.split(memory.along, 2))
    r = jnp.where(both, jnp.triu(memory.sy[slot][:, slot]), jnp.eye(m))
    yy = jnp.where(both, memory.yy[slot][:, slot], 0.0)
    c = jnp.where(known[-1], 1.0 / jnp.where(known[-1], yy[-1, -1], 1.0), 1.0)
    u = solve_triangular(r, s_g)
    v = solve_triangular(r, u + c * (yy @ u - y_g), trans=1)
    back = (jnp.arange(m) - memory.learnt) % m
    weights = jnp.concatenate([v[back], -c * u[back]])
    return c * memory.gradient + weights @ memory.pairs


def _learn(memory: _Memory, s: jax.Array, gradient: jax.Array, curvature: jax.Array) -> _Memory:
    """The pair (s, y), y the change of gradient, in the place of the oldest, if it tells a curvature
    s . y."""
    y = gradient - memory.gradient
    y_y = _dot(y, y)
    good = curvature > _FLAT * jnp.sqrt(_dot(s, s) * y_y)
    unit = jnp.where(good, jax.lax.rsqrt(jnp.where(good, curvature, 1.0)), 0.0)
    m = memory.sy.shape[0]
    slot = memory.learnt % m
    pairs = memory.pairs
    for row, vector in ((slot, s), (m + slot, y)):
        kept = jax.lax.dynamic_index_in_dim(pairs, row, keepdims=False)
        new = jnp.where(good, unit * vector, kept)
        pairs = jax.lax.dynamic_update_index_in_dim(pairs, new, row, 0)
    along = pairs @ gradient
    # Products with y are differences of products with gradients: one sweep less.
    change = (unit * (along - memory.along)).at[slot].set(1.0).at[m + slot].set(unit**2 * y_y)
    with_s, with_y = jnp.split(change, 2)
    sy = memory.sy.at[:, slot].set(with_s)
    yy = memory.yy.at[:, slot].set(with_y).at[slot].set(with_y)
    return memory._replace(
        gradient=gradient,
        pairs=pairs,
        sy=jnp.where(good, sy, memory.sy),
        yy=jnp.where(good, yy, memory.yy),
        along=along,
        learnt=memory.learnt + good,
    )


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """a . b in columns of eight, which compiled code adds up side by side, in half the time."""
    product = jnp.pad(a * b, (0, -a.size % 8))
    return jnp.sum(jnp.sum(product.reshape(-1, 8), axis=0))
