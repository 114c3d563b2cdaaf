"""Making a singular sparse matrix regular without perturbing it.

If A Z = 0 for k null modes Z, then k rows (and the same columns) may be struck out: the remaining
matrix is regular exactly if the k rows of Z struck out are linearly independent, and by Sylvester's
law of inertia it has the same number of negative eigenvalues as A on the complement of Z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from mdsens.linear.projector import Projector


@dataclass(frozen=True)
class HostProjector:
    """A `Projector` in NumPy, and which degrees of freedom a factorisation should keep.

    Attributes:
        mask: (n,) 1.0 for an active degree of freedom.
        basis: (n, k) orthonormal null modes, absent ones left out.
        active: (n,) indices of active degrees of freedom.
        kept: indices of those that remain after grounding k of them.
    """

    mask: np.ndarray
    basis: np.ndarray
    active: np.ndarray
    kept: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """P x for x (n,) or (n, c)."""
        masked = x * (self.mask if x.ndim == 1 else self.mask[:, None])
        return masked - self.basis @ (self.basis.T @ masked)

    @property
    def rank(self) -> int:
        """Dimension of the complement of the null space."""
        return len(self.kept)


def on_host(projector: Projector) -> HostProjector:
    """The projector as NumPy arrays, grounded where its null modes are best told apart."""
    mask, basis = np.asarray(projector.mask), np.asarray(projector.basis)
    basis = basis[:, np.linalg.norm(basis, axis=0) > 0.5]
    active = np.flatnonzero(mask > 0)
    # Column-pivoted QR picks k rows of Z that are far from linearly dependent.
    pivots = qr(basis[active].T, mode="r", pivoting=True)[-1] if basis.shape[1] else np.arange(0)
    grounded = active[pivots[: basis.shape[1]]]
    return HostProjector(mask, basis, active, np.setdiff1d(active, grounded))
