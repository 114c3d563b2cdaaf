"""Extreme eigenvalues by Lanczos: one traceable estimate, one host routine that is certain."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_EXHAUSTED = 1e-13


def largest_curvature(
    matvec: Callable[[jax.Array], jax.Array], n: int, steps: int = 20, seed: int = 0
) -> jax.Array:
    """Largest |eigenvalue| of a symmetric matrix, from above for practical purposes. Traceable.

    The outermost Ritz value of a Lanczos run plus its residual bound |A y - t y|. A bond network
    needs about 20 products for 1 %; `steps` beyond n are not taken.

    Args:
        matvec: (n,) -> (n,), linear and symmetric.
        n: number of unknowns.
        steps: products with A.
        seed: of the random start vector.

    Lanczos 1950, doi:10.6028/jres.045.026.
    """
    steps = min(steps, n)
    start = jax.random.normal(jax.random.key(seed), (n,), jnp.float64)
    basis = jnp.zeros((steps + 1, n)).at[0].set(start / jnp.linalg.norm(start))

    def extend(
        k: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        basis, alphas, betas = carry
        image = matvec(basis[k])
        alpha, size = basis[k] @ image, jnp.linalg.norm(image)
        # Orthogonalised against all, twice: rounding would otherwise breed ghost eigenvalues.
        for _ in range(2):
            image = image - basis.T @ (basis @ image)
        beta = jnp.linalg.norm(image)
        # What is left of an exhausted Krylov space (A of low rank) is rounding, no direction.
        beta = jnp.where(beta > _EXHAUSTED * size, beta, 0.0)
        unit = jnp.where(beta > 0, image / jnp.where(beta > 0, beta, 1.0), 0.0)
        return basis.at[k + 1].set(unit), alphas.at[k].set(alpha), betas.at[k].set(beta)

    empty = jnp.zeros(steps)
    _, alphas, betas = lax.fori_loop(0, steps, extend, (basis, empty, empty))
    between = jnp.diag(betas[: steps - 1], 1)
    values, vectors = jnp.linalg.eigh(jnp.diag(alphas) + between + between.T)
    return jnp.max(jnp.abs(values) + betas[-1] * jnp.abs(vectors[-1]))


def largest_eigenpairs(
    apply: Callable[[np.ndarray], np.ndarray],
    project: Callable[[np.ndarray], np.ndarray],
    n: int,
    k: int,
    tol: float,
    seed: int,
    max_blocks: int = 80,
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest (algebraic) eigenvalues and eigenvectors (n, k) of a symmetric host operator.

    Block Lanczos with full orthogonalisation. The block is wider than k, so that degenerate
    eigenvalues come out with their multiplicity, which a single vector would miss.

    Args:
        apply: (n, c) -> (n, c); its null space is that of `project`.
        project: orthogonal projector of (n, c) onto the complement of the null space.
        n: number of unknowns.
        k: eigenvalues wanted.
        tol: relative residual |A y - t y| <= tol |t| of each.
        seed: of the random start block.
        max_blocks: blocks at most; what has been reached is returned then.
    """
    block = project(np.random.default_rng(seed).normal(size=(n, k + 2)))
    basis, images = np.zeros((n, 0)), np.zeros((n, 0))
    values, vectors = np.zeros(0), basis
    for _ in range(max_blocks):
        block = _orthonormal_rest(block, basis)
        if block.shape[1] == 0:
            break
        basis, images = np.hstack([basis, block]), np.hstack([images, apply(block)])
        small = basis.T @ images
        ritz, coordinates = np.linalg.eigh(0.5 * (small + small.T))
        ritz, coordinates = ritz[::-1][:k], coordinates[:, ::-1][:, :k]
        values, vectors = ritz, basis @ coordinates
        missing = np.linalg.norm(images @ coordinates - vectors * values, axis=0)
        if len(values) == k and np.all(missing <= tol * np.abs(values)):
            break
        block = images[:, -block.shape[1] :]
    return values, vectors


def _orthonormal_rest(block: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what `block` adds to `basis`; empty if nothing."""
    size = max(float(np.linalg.norm(block)), 1e-300)
    for _ in range(2):
        block = block - basis @ (basis.T @ block)
    left, weights, _ = np.linalg.svd(block, full_matrices=False)
    new = left[:, weights > 1e-10 * size]
    return new - basis @ (basis.T @ new)
