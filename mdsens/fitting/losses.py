"""What is summed over residuals: half of rho(r^2), as in scipy.optimize.least_squares."""

from __future__ import annotations

import numpy as np

Rho = tuple[np.ndarray, np.ndarray, np.ndarray]


def _linear(z: np.ndarray) -> Rho:
    return z, np.ones_like(z), np.zeros_like(z)


def _soft_l1(z: np.ndarray) -> Rho:
    root = np.sqrt(1.0 + z)
    return 2.0 * (root - 1.0), 1.0 / root, -0.5 / root**3


def _huber(z: np.ndarray) -> Rho:
    root = np.sqrt(np.maximum(z, 1.0))
    return (
        np.where(z <= 1.0, z, 2.0 * root - 1.0),
        1.0 / root,
        np.where(z <= 1.0, 0.0, -0.5 / root**3),
    )


def _cauchy(z: np.ndarray) -> Rho:
    return np.log1p(z), 1.0 / (1.0 + z), -1.0 / (1.0 + z) ** 2


# rho(z) with its first two derivatives.
_RHO = {"linear": _linear, "soft_l1": _soft_l1, "huber": _huber, "cauchy": _cauchy}
LOSSES = tuple(_RHO)


def loss_of(residuals: np.ndarray, loss: str) -> float:
    """1/2 sum_i rho(r_i^2)."""
    return 0.5 * float(np.sum(_RHO[loss](residuals**2)[0]))


def slope_of(residuals: np.ndarray, loss: str) -> np.ndarray:
    """(m,) its derivative by each residual."""
    return _RHO[loss](residuals**2)[1] * residuals


def weights_of(residuals: np.ndarray, loss: str) -> np.ndarray:
    """(m,) rho'(r^2): how much each residual counts; 1 where nothing is forgiven."""
    return _RHO[loss](residuals**2)[1]


def inflation_of(residuals: np.ndarray, freedom: int, loss: str) -> float:
    """s^2 = <w> [sum psi^2 / freedom] / <psi'>^2, w = rho'(r^2), psi = w r, psi' = rho' + 2 r^2 rho'': the
    variance of an M-estimate over that of its weighted equations (Huber, Robust Statistics, 1981, chapter
    7); chi^2 / freedom where nothing is forgiven. NaN where most residuals are so far out that they say
    nothing."""
    z = residuals**2
    _, first, second = _RHO[loss](z)
    slope = float(np.mean(first + 2.0 * z * second))
    if slope <= 0.0:
        return np.nan
    return float(np.mean(first) * (np.sum(first**2 * z) / freedom) / slope**2)
