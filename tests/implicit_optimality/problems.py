"""Quadratic problems whose active set is known, so that their solutions have closed forms.

    minimise  x^T Q x / 2 - c^T x  + a penalty, or under constraints

Each problem is a condition, its closed-form solution, and the arguments of both made of theta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from mdsens.implicit import custom_fixed_point, custom_root
from mdsens.implicit.optimality import (
    KKTPoint,
    block_proximal_gradient,
    exponentiated_gradient,
    kkt,
    kl_projection,
    mirror_descent,
    newton,
    projected_gradient,
    projections,
    proximal,
    proximal_gradient,
    stationary_point,
)

Q = jnp.array(
    [[2.0, 0.3, -0.2, 0.1], [0.3, 1.5, 0.4, 0.0], [-0.2, 0.4, 1.8, 0.2], [0.1, 0, 0.2, 1]]
)
ROWS = jnp.array([[1.0, 1.0, 0.0, -1.0], [0.5, -1.0, 2.0, 0.3]])
FREE = np.array([True, False, True, False])
THETA = jnp.array([0.9, 1.3, -1.1, 0.6])


def quadratic(x, c):
    return 0.5 * x @ Q @ x - c @ x


def restricted(matrix: jax.Array, c: jax.Array, free: np.ndarray, fixed: Any = 0.0) -> jax.Array:
    """The minimiser with x = fixed outside `free`."""
    fixed = jnp.where(free, 0.0, fixed)
    both = free[:, None] & free[None, :]
    rhs = jnp.where(free, c - matrix @ fixed, fixed)
    return jnp.linalg.solve(jnp.where(both, matrix, jnp.eye(free.size)), rhs)


class Problem(NamedTuple):
    """condition(closed(*arguments(theta)), *arguments(theta)) = 0, or = x for a fixed point."""

    condition: Callable[..., Any]
    closed: Callable[..., Any]
    arguments: Callable[[jax.Array], tuple]
    fixed_point: bool = True

    def solved(self, theta: jax.Array) -> jax.Array:
        """The solution as a vector; its derivative is the implicit one."""
        decorate = custom_fixed_point if self.fixed_point else custom_root
        args = self.arguments(theta)
        solver = decorate(self.condition)(lambda init, *args: self.closed(*args))
        return ravel_pytree(solver(None, *args))[0]

    def expected(self, theta: jax.Array) -> jax.Array:
        return ravel_pytree(self.closed(*self.arguments(theta)))[0]

    def violation(self, theta: jax.Array) -> jax.Array:
        args = self.arguments(theta)
        x = self.closed(*args)
        value = ravel_pytree(self.condition(x, *args))[0]
        return value - ravel_pytree(x)[0] if self.fixed_point else value


# Smooth. f = x^T Q x / 2 - c^T x + sum d x^2 / 2.
def ridge(x, c, d):
    return quadratic(x, c) + 0.5 * jnp.sum(d * x * x)


def ridge_closed(c, d):
    return jnp.linalg.solve(Q + jnp.diag(d), c)


# Constraints with multipliers.
def linear(rows):
    return lambda x, b: rows @ x - b


def saddle(c, rows, b):
    """(x, multipliers) of the equality-constrained problem, rows x = b."""
    m = b.shape[0]
    matrix = jnp.block([[Q, rows.T], [rows, jnp.zeros((m, m))]])
    both = jnp.linalg.solve(matrix, jnp.concatenate([c, b]))
    return both[:4], both[4:]


def with_equality(c, b):
    return KKTPoint(*saddle(c, ROWS, b))


# The first inequality is active, the second is not, the equality is the third row.
UPPER = jnp.array([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 1.0]])
SUM = jnp.ones((1, 4))


def with_inequality(c, b, d):
    x, multipliers = saddle(c, jnp.concatenate([SUM, UPPER[:1]]), jnp.concatenate([b, d[:1]]))
    return KKTPoint(x, multipliers[:1], jnp.concatenate([multipliers[1:], jnp.zeros(1)]))


def with_inequality_only(c, _, d):
    x, multipliers = saddle(c, UPPER[:1], d[:1])
    return KKTPoint(x, None, jnp.concatenate([multipliers, jnp.zeros(1)]))


# Penalties: coordinates 0 and 2 leave zero, the signs of theta are those of x.
SIGNS = jnp.array([1.0, 0.0, -1.0, 0.0])


def lasso_closed(c, penalty):
    return restricted(Q, c - penalty * SIGNS, FREE)


def elastic_net_closed(c, penalties):
    return restricted(Q + jnp.diag(penalties[1]), c - penalties[0] * SIGNS, FREE)


def split(x):
    return (x[:2], {"rest": x[2:]})


def blocks_closed(c, penalties):
    (first, second), free = penalties, np.array([True, False, True, True])
    weights = jnp.concatenate([jnp.zeros(2), jnp.full(2, second)])
    shift = jnp.concatenate([first * SIGNS[:2], jnp.zeros(2)])
    return split(restricted(Q + jnp.diag(weights), c - shift, free))


def blocks_quadratic(x, c):
    return quadratic(jnp.concatenate([x[0], x[1]["rest"]]), c)


def ridge_of_tree(x, penalty, step):
    return jax.tree_util.tree_map(lambda leaf: proximal.squared_l2(leaf, penalty, step), x)


# Convex sets. On the simplex some coordinates vanish, or none.
def simplex_closed(free):
    def closed(c, total=1.0):
        rows = jnp.where(free, 1.0, 0.0)[None, :]
        masked = jnp.where(free[:, None] & free[None, :], Q, jnp.eye(4))
        matrix = jnp.block([[masked, rows.T], [rows, jnp.zeros((1, 1))]])
        rhs = jnp.concatenate([jnp.where(free, c, 0.0), jnp.reshape(total, (1,))])
        return jnp.linalg.solve(matrix, rhs)[:4]

    return closed


INSIDE = np.array([True, True, True, True])
CORNER = np.array([True, True, False, True])


# Coordinate 1 is at its upper bound, 3 at its lower.
def box_closed(c, lower, upper):
    return restricted(Q, c, FREE, jnp.stack([c[0], upper[1], c[2], lower[3]]))


LOWER, UPPERS = jnp.full(4, -3.0).at[3].set(1.0), jnp.full(4, 3.0).at[1].set(0.4)


def equality_closed(c, rows, b):
    return saddle(c, rows, b)[0]


PROBLEMS = {
    "ridge": Problem(stationary_point(ridge), ridge_closed, lambda t: (t, t**2), fixed_point=False),
    "newton": Problem(
        newton(lambda x, c: Q @ (x - jnp.sin(c)) + x**3 - jnp.sin(c) ** 3, step=0.7),
        jnp.sin,
        lambda t: (t,),
    ),
    "equality": Problem(
        kkt(quadratic, equality=linear(ROWS)),
        with_equality,
        lambda t: (t, t[:2] ** 2),
        fixed_point=False,
    ),
    "inequality": Problem(
        kkt(quadratic, linear(SUM), linear(UPPER)),
        with_inequality,
        lambda t: (t, t[:1], jnp.stack([-0.4 * t[1], 3.0 + t[0]])),
        fixed_point=False,
    ),
    "inequality only": Problem(
        kkt(quadratic, inequality=linear(UPPER)),
        with_inequality_only,
        lambda t: (t, None, jnp.stack([-0.4 * t[1], 3.0 + t[0]])),
        fixed_point=False,
    ),
    "lasso": Problem(
        proximal_gradient(quadratic, proximal.l1, 0.4),
        lasso_closed,
        lambda t: (t, jnp.array([0.3, 1.0, 0.2, 0.9]) * (1 + t**2)),
    ),
    "elastic net": Problem(
        proximal_gradient(quadratic, proximal.elastic_net),
        elastic_net_closed,
        lambda t: (t, (jnp.array([0.3, 1.0, 0.2, 0.9]) * (1 + t**2), jnp.exp(t))),
    ),
    "blocks": Problem(
        block_proximal_gradient(blocks_quadratic, (proximal.l1, ridge_of_tree), (0.5, 0.3)),
        blocks_closed,
        lambda t: (t, (2.0 * t[0] ** 2 * jnp.array([0.1, 1.5]), jnp.exp(t[1]))),
    ),
    "simplex": Problem(
        projected_gradient(quadratic, projections.simplex, 0.5),
        simplex_closed(CORNER),
        lambda t: (t, 1.0 + 0.1 * t[0]),
    ),
    "simplex, exponentiated": Problem(
        exponentiated_gradient(quadratic, 0.5),
        simplex_closed(CORNER),
        lambda t: (t, 1.0 + 0.1 * t[0]),
    ),
    "simplex, mirror": Problem(
        mirror_descent(quadratic, kl_projection, jnp.log, 0.5),
        simplex_closed(INSIDE),
        lambda t: (0.1 * t, 1.0 + 0.1 * t[0]),
    ),
    "box": Problem(
        projected_gradient(quadratic, projections.box),
        box_closed,
        lambda t: (t, LOWER * t[0], UPPERS * t[1]),
    ),
    "affine": Problem(
        projected_gradient(quadratic, projections.affine, 0.3),
        equality_closed,
        lambda t: (t, ROWS * t[0], t[:2] ** 2),
    ),
}
