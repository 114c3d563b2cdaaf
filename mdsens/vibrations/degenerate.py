"""Derivatives of eigenvalues that meet.

In a set of g equal eigenvalues with eigenvectors V no single one has a derivative. Along a direction
dD they split into the eigenvalues of the g x g matrix V^H dD V (`degenerate_slopes`), which are not
linear in dD; what is linear, and what reverse mode can therefore give, is their sum tr(V^H dD V).
`eigenvalues` gives each one of the set the mean. That is right for first derivatives of every
function that is symmetric within the set (sums, free energies, moments, a density of states; for
further ones see `mdsens.vibrations.spectral`), and for each single one wherever symmetry keeps the
set together (a parameter of the potential, the volume of a cubic cell).

Lancaster 1964, doi:10.1007/BF01386087.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

# Eigenvalues closer than this fraction of the stiffness are one set: rounding, and the noise of a
# relaxation, leave 1e-14.
DEGENERATE = 1e-10


@jax.custom_jvp
def eigenvalues(matrix: jax.Array, stiffness: jax.Array) -> jax.Array:
    """(m,) of a Hermitian matrix (m, m), ascending.

    Derivatives of any order are those of the means of sets.

    Args:
        stiffness: (), what differences of eigenvalues are small against; taken as constant.
    """
    return jnp.linalg.eigvalsh(matrix)


@eigenvalues.defjvp
def _slopes(primals, tangents):
    (matrix, stiffness), (change, _) = primals, tangents
    values, vectors = eigenvalues(matrix, stiffness), _vectors(matrix, stiffness)
    own = jnp.real(jnp.einsum("am,ab,bm->m", jnp.conj(vectors), change, vectors))
    alike = _alike(values, stiffness)
    return values, (alike / jnp.sum(alike, axis=1, keepdims=True)) @ own


@jax.custom_jvp
def _vectors(matrix: jax.Array, stiffness: jax.Array) -> jax.Array:
    """(m, m) unit eigenvectors as columns.

    dv_n = sum of v_m (v_m^H dD v_n)/(lambda_n - lambda_m) over m outside the set of n. How vectors
    turn within a set, which would divide by zero, is left out: no mean of a set depends on it.
    """
    return jnp.linalg.eigh(matrix)[1]


@_vectors.defjvp
def _turns(primals, tangents):
    (matrix, stiffness), (change, _) = primals, tangents
    values, vectors = eigenvalues(matrix, stiffness), _vectors(matrix, stiffness)
    alike = _alike(values, stiffness)
    gaps = jnp.where(alike, 1.0, values[None, :] - values[:, None])
    mixing = jnp.where(alike, 0.0, (jnp.conj(vectors).T @ change @ vectors) / gaps)
    return vectors, vectors @ mixing


def degenerate_slopes(matrix: jax.Array, change: jax.Array) -> jax.Array:
    """d(eigenvalues of matrix + t change)/dt at t = 0+, (m,), ascending within each degenerate set.

    With (matrix, change) from `jax.jvp` of `dynamical_matrix` these are the slopes of all omega^2
    along one direction in parameters, strain or q, degenerate or not; towards t = 0- the slopes of a
    set are the same in reverse order. Not differentiable where eigenvalues meet.

    Args:
        matrix, change: (m, m), Hermitian.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    alike = _alike(values, jnp.max(jnp.abs(values)))
    projected = jnp.where(alike, jnp.conj(vectors).T @ change @ vectors, 0.0)
    # One eigenproblem for all sets: apart by more than they split, they keep their order.
    place = jnp.argmax(alike, axis=1)
    apart = 4.0 * jnp.sqrt(jnp.sum(jnp.abs(projected) ** 2)) * place
    return jnp.linalg.eigvalsh(projected + jnp.diag(apart)) - apart


def _alike(values: jax.Array, stiffness: jax.Array) -> jax.Array:
    """(m, m) True for ascending eigenvalues of one set, a chain of small differences."""
    steps = jnp.diff(values, prepend=values[:1]) > DEGENERATE * stiffness
    member = jnp.cumsum(steps)
    return member[:, None] == member[None, :]
