"""What is summed over residuals: half of rho(r^2), as in scipy.optimize.least_squares."""

from __future__ import annotations

import numpy as np


def _soft_l1(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    root = np.sqrt(1.0 + z)
    return 2.0 * (root - 1.0), 1.0 / root


def _huber(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    root = np.sqrt(np.maximum(z, 1.0))
    return np.where(z <= 1.0, z, 2.0 * root - 1.0), 1.0 / root


_RHO = {
    "linear": lambda z: (z, np.ones_like(z)),
    "soft_l1": _soft_l1,
    "huber": _huber,
    "cauchy": lambda z: (np.log1p(z), 1.0 / (1.0 + z)),
}
LOSSES = tuple(_RHO)


def loss_of(residuals: np.ndarray, loss: str) -> float:
    """1/2 sum_i rho(r_i^2)."""
    return 0.5 * float(np.sum(_RHO[loss](residuals**2)[0]))


def slope_of(residuals: np.ndarray, loss: str) -> np.ndarray:
    """(m,) its derivative by each residual."""
    return _RHO[loss](residuals**2)[1] * residuals
