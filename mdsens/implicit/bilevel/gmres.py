"""Generalised minimum residuals, in the manner of the solvers of `mdsens.linear`."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular

from mdsens.linear.outcome import Outcome
from mdsens.linear.refinement import Matvec, Step

RESTART = 60


class _State(NamedTuple):
    """The Krylov basis and the QR factorisation of the Hessenberg matrix, one column per step.

    basis: (m + 1, n) orthonormal rows v_k.     searched: (m, n) rows M v_k.
    rotation: (m + 1, m + 1) Q.                 triangle: (m, m) R.
    left: |b - A x| / |b| of the x that this basis would give.
    """

    basis: jax.Array
    searched: jax.Array
    rotation: jax.Array
    triangle: jax.Array
    left: jax.Array
    norm: jax.Array
    k: jax.Array


def generalised_minimum_residuals(
    matvec: Matvec, precondition: Matvec, b: jax.Array, tol: jax.Array, limit: int | jax.Array
) -> Step:
    """One cycle of GMRES from zero until |b - A x| <= tol |b|; at most 60 products, for storage.

        x = M y,   y in span{b, A M b, (A M)^2 b, ...},   |b - A x| smallest

    A need not be symmetric, nor M, the preconditioner, which stands on the right so that residuals
    are the true ones.

    Saad & Schultz 1986, doi:10.1137/0907058.
    """
    size = jnp.linalg.norm(b)
    m = min(RESTART, b.size)

    def unfinished(s: _State) -> jax.Array:
        return (s.left > tol) & (s.k < jnp.minimum(limit, m))

    end = lax.while_loop(unfinished, lambda s: _advance(matvec, precondition, s), _begin(b, m))
    rows = jnp.arange(m) < end.k
    # Columns that were never reached are zero: a one each, with zero on the right.
    triangle = end.triangle + jnp.diag(jnp.where(rows, 0.0, 1.0))
    weights = solve_triangular(triangle, jnp.where(rows, end.rotation[:m, 0], 0.0))
    return Step(size * (weights @ end.searched), end.k, jnp.asarray(Outcome.CONVERGED), end.norm)


def _begin(b: jax.Array, m: int) -> _State:
    size = jnp.linalg.norm(b)
    return _State(
        basis=jnp.zeros((m + 1, b.size)).at[0].set(b / jnp.where(size > 0, size, 1.0)),
        searched=jnp.zeros((m, b.size)),
        rotation=jnp.eye(m + 1),
        triangle=jnp.zeros((m, m)),
        left=jnp.where(size > 0, 1.0, 0.0),
        norm=jnp.zeros(()),
        k=jnp.asarray(0),
    )


def _advance(matvec: Matvec, precondition: Matvec, s: _State) -> _State:
    search = precondition(s.basis[s.k])
    product = matvec(search)
    norm = jnp.linalg.norm(product) / jnp.maximum(jnp.linalg.norm(search), 1e-300)
    # Gram and Schmidt, twice is enough; rows of the basis not yet there are zero.
    first = s.basis @ product
    rest = product - first @ s.basis
    second = s.basis @ rest
    rest = rest - second @ s.basis
    length = jnp.linalg.norm(rest)
    column = s.rotation @ (first + second).at[s.k + 1].set(length)
    # One more plane rotation keeps the Hessenberg matrix triangular.
    radius = jnp.hypot(column[s.k], column[s.k + 1])
    cos, sin = jnp.array([column[s.k], column[s.k + 1]]) / jnp.maximum(radius, 1e-300)
    upper, lower = s.rotation[s.k], s.rotation[s.k + 1]
    rotation = s.rotation.at[s.k].set(cos * upper + sin * lower)
    rotation = rotation.at[s.k + 1].set(cos * lower - sin * upper)
    return _State(
        basis=s.basis.at[s.k + 1].set(rest / jnp.maximum(length, 1e-300)),
        searched=s.searched.at[s.k].set(search),
        rotation=rotation,
        triangle=s.triangle.at[:, s.k].set(column[:-1].at[s.k].set(radius)),
        left=jnp.abs(rotation[s.k + 1, 0]),
        norm=jnp.maximum(s.norm, norm),
        k=s.k + 1,
    )
