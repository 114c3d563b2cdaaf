"""The lowest eigenvalues of P A P on the complement of the null space. Host, eager."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mdsens.linear.ground import HostProjector, on_host
from mdsens.linear.lanczos import largest_eigenpairs, smallest_eigenvalue
from mdsens.linear.lobpcg import smallest_eigenvalues
from mdsens.linear.operator import Operator
from mdsens.linear.precision import require_float64
from mdsens.linear.projector import Projector
from mdsens.linear.sparse import SparseFactor

# Below this many unknowns the whole spectrum is cheaper than being clever.
_DENSE = 1000
# Eigenvalues within this fraction of |A| of zero are not called negative.
_ZERO = 1e-11


class LowestEigenvalues(NamedTuple):
    """What is known about the bottom of the spectrum.

    Attributes:
        values: (k,) ascending (algebraic); fewer if the complement is smaller.
        negative: number of negative eigenvalues.
        exact: False where `negative` is only a lower bound.
        accuracy: relative, guaranteed for each value to be near some eigenvalue.
        method: in words.
    """

    values: np.ndarray
    negative: int
    exact: bool
    accuracy: float
    method: str


def lowest_eigenvalues(
    operator: Operator,
    projector: Projector,
    k: int = 1,
    factor: SparseFactor | None = None,
    tol: float = 1e-4,
    seed: int = 0,
) -> LowestEigenvalues:
    """The k smallest (algebraic) eigenvalues of P A P where P is not zero.

    Small systems: the whole spectrum. With a factor: block Lanczos on the inverse, or, if A is
    indefinite, on the inverse of A - s with s below the spectrum, certified by the inertia of the
    shifted factor. Otherwise Lanczos for one eigenvalue, and for more LOBPCG with block-Jacobi
    preconditioning. Degenerate eigenvalues come with their multiplicity.

    Args:
        operator: A; its `matrix`, if there is one, is used on the host.
        projector: onto the complement of the known null modes.
        k: how many.
        factor: of the same matrix and projector, if one is at hand.
        tol: relative accuracy aimed at.
        seed: of the random start.

    Knyazev 2001, doi:10.1137/S1064827500366124.
    """
    require_float64(projector.mask)
    host = on_host(projector)
    k = min(k, host.rank)
    if k == 0:
        return LowestEigenvalues(np.zeros(0), 0, True, 0.0, "no degrees of freedom")
    if operator.size <= _DENSE:
        return _whole(operator, host, k)
    if factor is not None and factor.inertia >= 0:
        return _by_inverse(factor, k, tol, seed)
    if k == 1:
        return _alone(operator, host, tol, seed)
    values, accuracy = smallest_eigenvalues(operator, projector, host, k, tol, seed)
    negative = int(np.sum(values < 0))
    return LowestEigenvalues(
        values, negative, negative < k, accuracy, "LOBPCG with block-Jacobi preconditioning"
    )


def _alone(operator: Operator, host: HostProjector, tol: float, seed: int) -> LowestEigenvalues:
    start = np.random.default_rng(seed).normal(size=operator.size)
    value, accuracy = smallest_eigenvalue(operator.on_host, host, start, tol)
    below = int(value < 0)
    return LowestEigenvalues(np.array([value]), below, not below, accuracy, "Lanczos")


def _whole(operator: Operator, host: HostProjector, k: int) -> LowestEigenvalues:
    matrix = np.asarray(operator.dense() if operator.matrix is None else _array(operator))
    restricted = host(host(matrix).T)
    removed = np.eye(operator.size) - host(np.eye(operator.size))
    top = 2 * max(np.abs(restricted).sum(axis=1).max(), 1e-300)
    values = np.linalg.eigvalsh(restricted + top * removed)[: host.rank]
    negative = int(np.sum(values < -_ZERO * np.max(np.abs(values))))
    return LowestEigenvalues(values[:k], negative, True, 1e-12, "full spectrum")


def _array(operator: Operator) -> np.ndarray:
    return operator.matrix.toarray()


def _by_inverse(factor: SparseFactor, k: int, tol: float, seed: int) -> LowestEigenvalues:
    shift, inverse = 0.0, factor
    if factor.inertia > 0:
        shift, inverse = _below_the_spectrum(factor, seed)
    p = factor.projector
    if k == 1 and shift == 0.0:
        start = np.random.default_rng(seed).normal(size=len(p.mask))
        highest, accuracy = smallest_eigenvalue(lambda x: -factor.apply(x), p, start, tol, 1)
        return LowestEigenvalues(
            np.array([-1 / highest]), 0, True, accuracy, "Lanczos on the inverse"
        )
    found, _ = largest_eigenpairs(inverse.apply, p, len(p.mask), k, tol, seed)
    return LowestEigenvalues(
        shift + 1 / found, factor.inertia, True, tol, "block Lanczos on the inverse"
    )


def _below_the_spectrum(factor: SparseFactor, seed: int) -> tuple[float, SparseFactor]:
    """A shift s below every eigenvalue, and the factor of A - s, which proves it: inertia 0."""
    p = factor.projector
    highest, _ = largest_eigenpairs(
        lambda x: -factor.product(x), p, len(p.mask), 1, 1e-2, seed, max_blocks=20
    )
    shift = -1.1 * float(highest[0]) - 1e-8
    shifted = factor.shifted(shift)
    while shifted.inertia != 0:
        shift *= 2
        shifted = factor.shifted(shift)
    return shift, shifted
