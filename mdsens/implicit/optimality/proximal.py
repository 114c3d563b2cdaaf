"""Proximal operators, prox(x, penalty, step) = argmin_y |y - x|^2 / 2 + step g(y, penalty).

Penalties are >= 0, which is not checked, and may be traced. Each operator is non-smooth on a
surface, where one block of y is just about to leave zero; there the derivative is taken as 0 for
that block, as on the side where it is zero. With a penalty of 0 an operator is the identity, and so
is its derivative.

Parikh & Boyd 2014, doi:10.1561/2400000003.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mdsens.errors import InputError


def l1(x: jax.Array, penalty: Any = 1.0, step: Any = 1.0) -> jax.Array:
    """sign(x) max(|x| - t, 0), t = step penalty: soft thresholding, for g = penalty . |y|.

    The derivative at |x| = t is taken as 0, with respect to x and t.

    Args:
        x: an array of any shape.
        penalty: a number, or one for each entry.
        step: a number.
    """
    t = step * jnp.asarray(penalty)
    return jnp.where(_kept(jnp.abs(x), t), x - t * jnp.sign(x), 0.0)


def squared_l2(x: jax.Array, penalty: Any = 1.0, step: Any = 1.0) -> jax.Array:
    """x / (1 + step penalty), for g = penalty . y^2 / 2 (ridge). Smooth everywhere.

    Args: as in `l1`.
    """
    return x / (1.0 + step * jnp.asarray(penalty))


def elastic_net(x: jax.Array, penalties: tuple[Any, Any], step: Any = 1.0) -> jax.Array:
    """`squared_l2` after `l1`, for g = penalties[0] . |y| + penalties[1] . y^2 / 2.

    The derivative at |x| = step penalties[0] is taken as 0.

    Args:
        x: an array of any shape.
        penalties: a pair, each a number or one for each entry.
        step: a number.

    Zou & Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x.
    """
    return squared_l2(l1(x, penalties[0], step), penalties[1], step)


def group_lasso(x: jax.Array, penalty: Any = 1.0, step: Any = 1.0) -> jax.Array:
    """max(1 - t / |x|, 0) x for every group, t = step penalty, for g = sum penalty |y|_2.

    The derivative at |x| = t is taken as 0, for the whole group.

    Args:
        x: (..., n); a group is a row, and a vector is one group.
        penalty: a number, or one for each group (...).
        step: a number.

    Yuan & Lin 2006, doi:10.1111/j.1467-9868.2005.00532.x.
    """
    t = jnp.broadcast_to(step * jnp.asarray(penalty), x.shape[:-1])[..., None]
    squared = jnp.sum(x * x, axis=-1, keepdims=True)
    # The square root has no derivative at 0; a group of zeros must not make one up.
    norm = jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
    size = jnp.where(squared > 0, norm, 0.0)
    return jnp.where(_kept(size, t), 1 - t / norm, 0.0) * x


def nuclear_norm(x: jax.Array, penalty: Any = 1.0, step: Any = 1.0) -> jax.Array:
    """U max(S - t, 0) V^T with x = U S V^T, t = step penalty, for g = penalty sum_i s_i(y).

    Equal singular values are no obstacle to the first derivative, only a value s_i = t is: the
    derivative is then taken as 0 for that value. The second derivative goes through those of the
    singular vectors, and is NaN where singular values coincide (two zeros included).

    Args:
        x: (m, n).
        penalty: a number.
        step: a number.

    Raises:
        InputError: x is not a matrix.

    Cai, Candes & Shen 2010, doi:10.1137/080738970.
    """
    if x.ndim != 2:
        raise InputError(f"the nuclear norm is one of a matrix, not of an array of shape {x.shape}")
    return _shrink_singular_values(x, jnp.asarray(step * jnp.asarray(penalty), x.dtype))


@jax.custom_jvp
def _shrink_singular_values(x: jax.Array, t: jax.Array) -> jax.Array:
    u, s, vt = jnp.linalg.svd(x, full_matrices=False)
    return u @ jnp.diag(jnp.where(_kept(s, t), s - t, 0.0)) @ vt


# With f the shrinkage of a singular value, and P = U^T dX V in the singular bases,
#
#     U^T dY V = sym(P)_ij (f_i - f_j) / (s_i - s_j) + skew(P)_ij (f_i + f_j) / (s_i + s_j)
#
# and what dX has outside of these bases is multiplied by f_i / s_i. All quotients stay finite: the
# first is f' for equal values, which here is 0 or 1, the others are at most 1.
@_shrink_singular_values.defjvp
def _shrinkage_rule(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (x, t), (dx, dt) = primals, tangents
    u, s, vt = jnp.linalg.svd(x, full_matrices=False)
    kept = _kept(s, t)
    f = jnp.where(kept, s - t, 0.0)
    p = u.T @ dx @ vt.T
    inside = 0.5 * (p + p.T) * _difference_quotient(s, f, kept)
    inside += 0.5 * (p - p.T) * _quotient(f[:, None] + f[None, :], s[:, None] + s[None, :], t)
    inside -= dt * jnp.diag(jnp.where(s > t, 1.0, 0.0))
    ratio = jnp.diag(_quotient(f, s, t))
    left = (dx @ vt.T - u @ p) @ ratio @ vt
    right = u @ ratio @ (u.T @ dx - p @ vt)
    return u @ jnp.diag(f) @ vt, left + u @ inside @ vt + right


def _difference_quotient(s: jax.Array, f: jax.Array, kept: jax.Array) -> jax.Array:
    one = kept[:, None] != kept[None, :]
    both = jnp.where(kept[:, None] & kept[None, :], 1.0, 0.0)
    gap = jnp.where(one, s[:, None] - s[None, :], 1.0)
    return jnp.where(one, (f[:, None] - f[None, :]) / gap, both)


def _quotient(f: jax.Array, s: jax.Array, t: jax.Array) -> jax.Array:
    """f / s, and its limit at s = 0, which is 1 where nothing is subtracted."""
    return jnp.where(s > 0, f / jnp.where(s > 0, s, 1.0), jnp.where(t > 0, 0.0, 1.0))


def _kept(size: jax.Array, t: jax.Array) -> jax.Array:
    """What remains after t is taken away; everything if t is 0."""
    return (size > t) | (t <= 0)
