"""Combinations of parameters that move no residual, and parameters that have no part in any."""

from __future__ import annotations

import numpy as np

# Parameters that move this fraction of what the strongest one does move nothing: rounding.
_NOISE = 1e-12
# Directions with singular values below this fraction of the largest move nothing, columns of one norm.
_NULL = 1e-9
# Parameters with at least this part in a direction take part in it.
_PART = 1e-3


def moving(jacobian: np.ndarray) -> np.ndarray:
    """(k,) which parameters move anything by themselves; columns are by relative changes."""
    size = np.linalg.norm(jacobian, axis=0)
    return size > _NOISE * size.max(initial=0.0)


def null_space(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) orthonormal rows that move nothing, columns being scaled to one norm; and what they were
    divided by, (k,)."""
    moves = moving(jacobian)
    size = np.where(moves, np.linalg.norm(jacobian, axis=0), 1.0)
    _, stiffness, directions = np.linalg.svd(moves * jacobian / size, full_matrices=False)
    return directions[stiffness <= _NULL * stiffness.max(initial=0.0)], size


def told(jacobian: np.ndarray) -> np.ndarray:
    """(k,) which parameters move something that no combination of others undoes."""
    null, _ = null_space(jacobian)
    return np.all(np.abs(null) < _PART, axis=0)
