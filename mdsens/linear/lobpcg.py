"""The bottom of a spectrum from products with A alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import lobpcg

from mdsens.linear.ground import HostProjector
from mdsens.linear.operator import Operator
from mdsens.linear.preconditioner import block_jacobi
from mdsens.linear.projector import Projector

_RESTARTS, _ITERATIONS = 20, 100
Product = Callable[[np.ndarray], np.ndarray]


def smallest_eigenvalues(
    operator: Operator, projector: Projector, host: HostProjector, k: int, tol: float, seed: int
) -> tuple[np.ndarray, float]:
    """The k smallest (algebraic) eigenvalues, and their worst relative residual.

    LOBPCG with block-Jacobi preconditioning, k + 3 vectors, restarted until |A y - t y| is below
    10 tol |t|: the eigenvalue is then off by less than that, and by its square over the gap.

    Knyazev 2001, doi:10.1137/S1064827500366124.
    """
    product, precondition = (
        _product(operator, projector, host),
        _preconditioner(operator, projector),
    )
    block = host(np.random.default_rng(seed).normal(size=(operator.size, k + 3)))
    values, worst = np.zeros(k), np.inf
    for _ in range(_RESTARTS):
        with warnings.catch_warnings():
            # It warns when it stops at maxiter; whether that was enough is judged below.
            warnings.simplefilter("ignore")
            found = lobpcg(
                product, block, M=precondition, largest=False, tol=1e-14, maxiter=_ITERATIONS
            )
        order = np.argsort(found[0])
        block = host(found[1][:, order])
        values = found[0][order][:k]
        left = np.linalg.norm(product(block[:, :k]) - block[:, :k] * values, axis=0)
        worst = float(np.max(left / np.abs(values)))
        if worst <= 10 * tol:
            break
    return values, worst


def _product(operator: Operator, projector: Projector, host: HostProjector) -> Product:
    if operator.matrix is not None:
        return lambda x: host(operator.matrix @ host(x))
    traced = jax.jit(lambda x: projector(operator.columns(projector(x))))
    return lambda x: np.asarray(traced(jnp.asarray(x)))


def _preconditioner(operator: Operator, projector: Projector) -> Product:
    local = jax.vmap(block_jacobi(operator.blocks), in_axes=1, out_axes=1)
    traced = jax.jit(lambda x: projector(local(projector(x))))
    return lambda x: np.asarray(traced(jnp.asarray(x)))
