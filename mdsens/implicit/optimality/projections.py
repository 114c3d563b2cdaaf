"""Euclidean projections onto convex sets, for `projected_gradient`: optax', and one it lacks.

    set                                    arguments
    `simplex`      x >= 0, sum x = s       s = 1
    `box`          l <= x <= u             l, u
    `non_negative` x >= 0
    `l1_ball`      |x|_1 <= r              r = 1
    `l2_ball`      |x|_2 <= r              r = 1
    `linf_ball`    max |x| <= r            r = 1
    `hyperplane`   <a, x> = b              a, b
    `halfspace`    <a, x> <= b             a, b
    `affine`       A x = b                 A, b

x is a pytree, for `affine` an array (n,). A projection onto a set with a boundary is not
differentiable where x lies on it without being pushed against it. Returned there: 0 for
`non_negative` and for the coordinates of `simplex` about to enter, the derivative within for
`l1_ball`, and the mean of the two one-sided derivatives for `box`, `linf_ball`, `l2_ball` and
`halfspace`. All of these are finite.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from optax.projections import projection_box as box
from optax.projections import projection_halfspace as halfspace
from optax.projections import projection_hyperplane as hyperplane
from optax.projections import projection_l1_ball as l1_ball
from optax.projections import projection_l2_ball as l2_ball
from optax.projections import projection_linf_ball as linf_ball
from optax.projections import projection_non_negative as non_negative
from optax.projections import projection_simplex as simplex

__all__ = [
    "affine",
    "box",
    "halfspace",
    "hyperplane",
    "l1_ball",
    "l2_ball",
    "linf_ball",
    "non_negative",
    "simplex",
]


def affine(x: jax.Array, matrix: jax.Array, b: jax.Array) -> jax.Array:
    """x - A^T (A A^T)^-1 (A x - b): the nearest point with A x = b. Smooth everywhere.

    Args:
        x: (n,).
        matrix: A (m, n), its rows linearly independent; NaN is returned where they are not.
        b: (m,).
    """
    factor = cho_factor(matrix @ matrix.T)
    return jnp.asarray(x - matrix.T @ cho_solve(factor, matrix @ x - b))
