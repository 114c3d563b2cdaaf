"""Sums over eigenvalues of f(eigenvalue), with derivatives by the matrix that are exact where they meet.

    tr f(A),    A = V diag(x) V^H Hermitian
    d tr f(A)   = Re tr g(A) dA,    g = f'
    d g(A)      = V (g[x_m, x_n] E_mn) V^H,    E = V^H dA V                          (Daleckii, Krein)
    d2 g(A)     = V (sum_k g[x_m, x_k, x_n] (E_mk F_kn + F_mk E_kn)) V^H

with divided differences g[x, y] = (g(x) - g(y))/(x - y), g[x, y, z] = (g[x, y] - g[y, z])/(x - z) and
their limits where x, y, z meet. Nothing is divided by a small gap, whether eigenvalues meet or split:
the second derivative of a free energy sees how a degenerate set splits, which no derivative of its
members, each given the mean of the set, could tell (`mdsens.vibrations.degenerate`).

Daleckii, Krein 1965; Higham, Functions of Matrices (2008), section 3, doi:10.1137/1.9780898717778.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.observables.refused import without_derivative

# f(x, t), element by element in x > 0, with no singularity but x <= 0; t is a number.
Function = Callable[[jax.Array, jax.Array], jax.Array]

# Eigenvalues within this factor of each other are near: divided differences are then means of
# derivatives, which eight Gauss points give to rounding as 0 is the nearest singularity.
_NEAR = 1.5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_NODES, _WEIGHTS = 0.5 * (1.0 + _NODES), 0.5 * _WEIGHTS


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def spectral_sum(f: Function, matrix: jax.Array, t: jax.Array) -> jax.Array:
    """tr f(A, t), (...), of Hermitian positive definite A (..., m, m).

    Three derivatives by A, of which the second and third take m^3 numbers; the fourth is NaN. Any
    by t.
    """
    return jnp.sum(f(jnp.linalg.eigvalsh(matrix), t), axis=-1)


# What stands for a derivative holds no function with a rule of its own of a tangent: in reverse
# mode such a rule would be forgotten, and the next derivative be that of eigenvectors.
@partial(spectral_sum.defjvp, symbolic_zeros=True)
def _sum_rule(f: Function, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (a, t), (da, dt) = primals, tangents
    value = spectral_sum(f, a, t)
    change = jnp.zeros_like(value)
    if _some(da):
        change = change + jnp.real(jnp.einsum("...mn,...nm->...", _function(_slope(f), a, t), da))
    if _some(dt):
        change = change + spectral_sum(_by_number(f), a, t) * dt
    return value, change


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _function(g: Function, a: jax.Array, t: jax.Array) -> jax.Array:
    """g(A, t), (..., m, m)."""
    x, v = jnp.linalg.eigh(a)
    return (v * g(x, t)[..., None, :]) @ _adjoint(v)


@partial(_function.defjvp, symbolic_zeros=True)
def _function_rule(g: Function, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (a, t), (da, dt) = primals, tangents
    change = jnp.zeros_like(a)
    if _some(da):
        change = change + _derivative(g, a, t, da)
    if _some(dt):
        change = change + _function(_by_number(g), a, t) * dt
    return _function(g, a, t), change


def _some(tangent: Any) -> bool:
    return not isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def _derivative(g: Function, a: jax.Array, t: jax.Array, along: jax.Array) -> jax.Array:
    """The derivative of g(A, t) along E, (..., m, m), to first order in A - A(here)."""
    here = jax.lax.stop_gradient(a)
    x, v = jnp.linalg.eigh(here)
    e, moved = (_adjoint(v) @ y @ v for y in (along, _first_order(a - here)))
    x, y, z = x[..., :, None, None], x[..., None, :, None], x[..., None, None, :]
    first = _divided(g, t, x[..., 0], z[..., 0, :]) * e
    second = _divided_twice(g, t, x, y, z)
    turned = jnp.einsum("...mkn,...mk,...kn->...mn", second, e, moved)
    turned = turned + jnp.einsum("...mkn,...mk,...kn->...mn", second, moved, e)
    return v @ (first + turned) @ _adjoint(v)


@jax.custom_jvp
def _first_order(moved: jax.Array) -> jax.Array:
    """The identity; its second derivative, which is not that of what it stands in, is NaN."""
    return moved


@_first_order.defjvp
def _first_order_rule(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (moved,), (step,) = primals, tangents
    parts = (jnp.real(moved), jnp.imag(moved))
    return moved, step * without_derivative(jnp.ones(moved.shape), parts)


def _adjoint(v: jax.Array) -> jax.Array:
    return jnp.conj(jnp.swapaxes(v, -1, -2))


def _slope(f: Function) -> Function:
    """df/dx, element by element."""

    def slope(x: jax.Array, t: jax.Array) -> jax.Array:
        return jax.jvp(lambda y: f(y, t), (x,), (jnp.ones_like(x),))[1]

    return slope


def _by_number(f: Function) -> Function:
    """df/dt."""

    def slope(x: jax.Array, t: jax.Array) -> jax.Array:
        return jax.jvp(lambda s: f(x, s), (t,), (jnp.ones_like(t),))[1]

    return slope


@partial(jax.jit, static_argnums=0)
def _divided(g: Function, t: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """g[x, y], the mean of g' between them."""
    x, y = jnp.broadcast_arrays(x, y)
    gap = y - x
    near = jnp.maximum(x, y) < _NEAR * jnp.minimum(x, y)
    points = x[..., None] + jnp.where(near, gap, 0.0)[..., None] * _row(_NODES, x.ndim)
    mean = _slope(g)(points, t) @ _WEIGHTS
    return jnp.where(near, mean, (g(y, t) - g(x, t)) / jnp.where(near, 1.0, gap))


@partial(jax.jit, static_argnums=0)
def _divided_twice(
    g: Function, t: jax.Array, x: jax.Array, y: jax.Array, z: jax.Array
) -> jax.Array:
    """g[x, y, z], the integral of g'' over the triangle between them (Hermite, Genocchi)."""
    low, middle, high = jnp.sort(jnp.stack(jnp.broadcast_arrays(x, y, z)), axis=0)
    to_high, to_middle = (grid.ravel() for grid in np.meshgrid(_NODES, _NODES))
    weights = np.outer(_WEIGHTS, _WEIGHTS * (1.0 - _NODES)).ravel()
    curvature = _slope(_slope(g))

    # One point after the other: all at once would be 64 times m^3 numbers.
    def add(total: jax.Array, point: Any) -> tuple[jax.Array, None]:
        r, s, weight = point
        place = low + r * (high - low) + (1.0 - r) * s * (middle - low)
        return total + weight * curvature(place, t), None

    mean = jax.lax.scan(add, jnp.zeros_like(low), (to_high, to_middle, weights))[0]
    near = high < _NEAR * low
    apart = _divided(g, t, middle, high) - _divided(g, t, low, middle)
    return jnp.where(near, mean, apart / jnp.where(near, 1.0, high - low))


def _row(numbers: np.ndarray, dimensions: int) -> jax.Array:
    """(1, ..., 1, n) with `dimensions` ones."""
    return jnp.asarray(numbers).reshape((1,) * dimensions + (-1,))
