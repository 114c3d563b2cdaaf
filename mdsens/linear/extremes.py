"""The smallest and the largest singular value of any square A off its null space. Host, eager.

For a symmetric A these are the smallest and the largest |eigenvalue|, inside the spectrum or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.linear.accuracy import EPS
from mdsens.linear.ground import on_host
from mdsens.linear.lanczos import largest_curvature, largest_eigenpairs
from mdsens.linear.projector import Projector

Product = Callable[[jax.Array], jax.Array]


class SingularValues(NamedTuple):
    """What is known about both ends of the spectrum.

    Attributes:
        smallest: on the complement of the null space; NaN where a solve failed.
        largest: the 2-norm of A.
        accuracy: relative, of the smallest: some singular value is that near.
        method: in words.
    """

    smallest: float
    largest: float
    accuracy: float
    method: str


def all_singular_values(matrix: np.ndarray, projector: Projector) -> SingularValues:
    """From the whole spectrum; about 3 n^3 operations.

    Args:
        matrix: (n, n) P A P.
        projector: P, onto the complement of the known null modes.
    """
    if not np.all(np.isfinite(matrix)):
        return SingularValues(np.nan, np.nan, np.inf, "unknown, because A is not finite")
    # The null modes come last, at zero to rounding: everything before them counts.
    values = np.linalg.svd(matrix, compute_uv=False)[: on_host(projector).rank]
    smallest, largest = float(values[-1]), float(values[0])
    accuracy = len(matrix) * EPS * largest / max(smallest, 1e-300)
    return SingularValues(smallest, largest, min(accuracy, 1.0), "full spectrum")


def singular_values_by_inverse(
    matvec: Product,
    transpose: Product,
    solve: Product,
    solve_transposed: Product,
    projector: Projector,
    tol: float = 1e-2,
    seed: int = 0,
) -> SingularValues:
    """The smallest from block Lanczos on M = (A^T A)^-1, the largest from Lanczos on A^T A.

    Args:
        matvec, transpose: x -> A x and x -> A^T x; traceable.
        solve, solve_transposed: b (n,) -> A^-1 b and A^-T b on the complement of the null modes;
            NaN where they fail.
        projector: onto the complement of the known null modes.
        tol: relative residual |M y - t y| <= tol t aimed at; the singular value 1 / sqrt(t) is from
            above, and off by half of that at most unless a smaller one was missed.
        seed: of the random start.
    """
    largest = float(jnp.sqrt(largest_curvature(lambda v: transpose(matvec(v)), projector.size)))

    def apply(block: np.ndarray) -> np.ndarray:
        images = [np.asarray(solve(solve_transposed(jnp.asarray(v)))) for v in block.T]
        if not np.all(np.isfinite(images)):
            raise _SolveFailed
        return np.stack(images, axis=1)

    try:
        found, vectors = largest_eigenpairs(apply, on_host(projector), projector.size, 1, tol, seed)
        left = float(np.linalg.norm(apply(vectors) - vectors * found))
    except _SolveFailed:
        return SingularValues(np.nan, largest, np.inf, "unknown, because a solve with A failed")
    smallest = 1 / float(np.sqrt(found[0]))
    accuracy = 0.5 * left / float(found[0])
    return SingularValues(smallest, largest, accuracy, "block Lanczos on the inverse")


class _SolveFailed(Exception):
    """Ends a Lanczos run that can mean nothing any more."""
