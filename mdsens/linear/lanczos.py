"""Extreme eigenvalues by Lanczos: a traceable estimate, and host routines that know their error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.linalg import eigh_tridiagonal, get_blas_funcs

_EXHAUSTED = 1e-13
# Steps that tell the largest eigenvalue to 1 %.
_FEW = 20
# An eigenvalue this small against the largest is zero to rounding; no step makes it better known.
_NOTHING = 1e-12
(_axpy,) = get_blas_funcs(("axpy",), dtype=np.float64)
HostFunction = Callable[[np.ndarray], np.ndarray]


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


def smallest_eigenvalue(
    product: HostFunction, project: HostFunction, start: np.ndarray, tol: float, look: int = 25
) -> tuple[float, float]:
    """The smallest (algebraic) eigenvalue of a symmetric host operator, and its relative accuracy.

    The three-term recurrence, which keeps no vectors: lost orthogonality breeds copies of
    eigenvalues, but moves none. Some eigenvalue is as near as the residual |A y - t y|. For 10 000
    spheres and a residual of 1e-3 it takes 725 steps; locally optimal conjugate gradients between
    Gauss-Seidel sweeps 410 to 450, each at twice the price or more.

    Args:
        product: (n,) -> (n,).
        project: (n,) -> (n,), onto the complement of the null space.
        start: (n,) random; eigenvectors orthogonal to it are not seen.
        tol: relative accuracy aimed at.
        look: steps between two looks at it.

    Parlett 1998, The Symmetric Eigenvalue Problem, doi:10.1137/1.9781611971163, chapter 13.
    """
    alphas, betas = [], []
    value = left = 0.0
    steps = islice(_recurrence(product, project, start), 5 * start.size + 100)
    for k, (alpha, beta) in enumerate(steps, start=1):
        alphas.append(alpha)
        betas.append(beta)
        top = max(map(abs, alphas))
        exhausted = beta <= _EXHAUSTED * top
        if k % look and not exhausted:
            continue
        values, vectors = eigh_tridiagonal(alphas, betas[:-1], select="i", select_range=(0, 0))
        value, left = float(values[0]), beta * abs(float(vectors[-1, 0]))
        if exhausted or left <= max(tol * abs(value), _NOTHING * top):
            break
    return value, left / max(abs(value), 1e-300)


def largest_eigenvalue(product: HostFunction, start: np.ndarray) -> float:
    """The largest |eigenvalue| of a symmetric host operator, from above, to about 1 %."""
    pairs = list(islice(_recurrence(product, lambda x: x, start), min(_FEW, start.size)))
    alphas, betas = zip(*pairs, strict=True)
    values, vectors = eigh_tridiagonal(alphas, betas[:-1])
    return float(np.max(np.abs(values) + betas[-1] * np.abs(vectors[-1])))


def _recurrence(
    product: HostFunction, project: HostFunction, start: np.ndarray
) -> Iterator[tuple[float, float]]:
    """Diagonal and off-diagonal elements of the tridiagonal matrix, one by one."""
    q = project(start)
    q, before, beta = q / max(np.linalg.norm(q), 1e-300), np.zeros_like(start), 0.0
    while True:
        image = _axpy(before, product(q), a=-beta)
        alpha = float(image @ q)
        # Of the null space as much as rounding would leave would grow exponentially.
        image = project(_axpy(q, image, a=-alpha))
        beta = float(np.linalg.norm(image))
        yield alpha, beta
        before, q = q, image / max(beta, 1e-300)


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
