"""A Hessian known term by term, as an array, a sparse matrix, or its diagonal blocks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from mdsens.potentials import Blocks, LocalHessian, Squares


def dense(local: LocalHessian, n: int, d: int) -> jax.Array:
    """(n d, n d) for n particles in d dimensions."""
    matrix = jnp.zeros((n * d, n * d))
    for term in local:
        matrix = matrix + (
            _dense_blocks(term, n, d) if isinstance(term, Blocks) else _dense_squares(term, n, d)
        )
    return matrix


def _dense_blocks(term: Blocks, n: int, d: int) -> jax.Array:
    i, j = term.particles[:, :, None], term.particles[:, None, :]
    matrix = jnp.zeros((n, d, n, d)).at[i, :, j, :].add(term.blocks)
    return matrix.reshape(n * d, n * d)


def _dense_squares(term: Squares, n: int, d: int) -> jax.Array:
    rows = jnp.zeros((n, n, d)).at[term.sites, term.particles].add(term.rows).reshape(n, n * d)
    return rows.T @ (term.weights[:, None] * rows)


def diagonal(local: LocalHessian, n: int, d: int) -> jax.Array:
    """(n, d, d), for preconditioning: of squares that reach a particle in several images, the mixed
    terms are left out."""
    blocks = jnp.zeros((n, d, d))
    for term in local:
        if isinstance(term, Blocks):
            i, j = term.particles[:, :, None], term.particles[:, None, :]
            # A particle may be there twice, in two images.
            own = jnp.where((i == j)[..., None, None], term.blocks, 0.0)
            blocks = blocks.at[jnp.broadcast_to(i, own.shape[:3])].add(own)
        else:
            # What a site's own particle gets is one sum; all others get one row each.
            at_home = (term.sites == term.particles)[:, None]
            home = jnp.zeros((n, d)).at[term.sites].add(jnp.where(at_home, term.rows, 0.0))
            away = jnp.where(at_home, 0.0, term.rows)
            blocks = blocks + term.weights[:, None, None] * _outer(home)
            squares = term.weights[term.sites][:, None, None] * _outer(away)
            blocks = blocks.at[term.particles].add(squares)
    return blocks


def _outer(rows: jax.Array) -> jax.Array:
    return rows[:, :, None] * rows[:, None, :]


def sparse(local: LocalHessian, n: int, d: int) -> scipy.sparse.csc_array:
    """(n d, n d) on the host."""
    matrix = scipy.sparse.csc_array((n * d, n * d))
    for term in local:
        matrix = matrix + (
            _sparse_blocks(term, n, d) if isinstance(term, Blocks) else _sparse_squares(term, n, d)
        )
    return matrix


def _sparse_blocks(term: Blocks, n: int, d: int) -> scipy.sparse.csc_array:
    particles, blocks = np.asarray(term.particles), np.asarray(term.blocks)
    t, a, b = np.nonzero(np.abs(blocks).max(axis=(3, 4), initial=0.0) > 0.0)
    axes = np.arange(d)
    row = particles[t, a][:, None, None] * d + axes[None, :, None]
    column = particles[t, b][:, None, None] * d + axes[None, None, :]
    shape = (len(t), d, d)
    places = (np.broadcast_to(row, shape).ravel(), np.broadcast_to(column, shape).ravel())
    return scipy.sparse.coo_array((blocks[t, a, b].ravel(), places), (n * d, n * d)).tocsc()


def _sparse_squares(term: Squares, n: int, d: int) -> scipy.sparse.csc_array:
    sites, particles = np.asarray(term.sites), np.asarray(term.particles)
    rows, weights = np.asarray(term.rows), np.asarray(term.weights)
    present = np.any(rows != 0.0, axis=1) & (weights[sites] != 0.0)
    column = particles[present][:, None] * d + np.arange(d)
    row = np.broadcast_to(sites[present][:, None], column.shape)
    slopes = scipy.sparse.csr_array(
        (rows[present].ravel(), (row.ravel(), column.ravel())), (n, n * d)
    )
    return (slopes.T @ (scipy.sparse.diags_array(weights) @ slopes)).tocsc()
