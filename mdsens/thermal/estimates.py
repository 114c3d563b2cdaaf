"""From samples to numbers with error bars. NumPy only.

With A_i, A_i' = dA_i/dtheta, U_i' at the samples, the average a = mean A and its derivative
D = mean A' - beta cov(A, U') vary as the means of their influence functions

    phi_i = A_i - a
    psi_i = A_i' - mean A' - beta ((A_i - a)(U_i' - mean U') - cov(A, U'))

so that a time series gives the error of a covariance as it does that of a mean. A function g of
averages has the influence g' phi, and its derivative g' D has g' psi + g'' phi D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdsens.thermal.statistics import mean_error

# Pieces of a trajectory, each corrected by what the others say.
_FOLDS = 5
# Singular values of the controls below this share of the largest are left out.
_RANK = 1e-8


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number with its error, or an array of them.

    Attributes:
        value, error: one standard deviation.
        effective: independent samples behind it.
        gain: variance without control variates over variance with them.
    """

    value: np.ndarray
    error: np.ndarray
    effective: np.ndarray
    gain: np.ndarray


@dataclass(frozen=True, eq=False)
class Averages:
    """Averages and their derivatives, with influences.

    Attributes:
        value: (k,).
        slope: (k, p).
        phi: (W, S, k).
        psi: (W, S, k, p).
    """

    value: np.ndarray
    slope: np.ndarray
    phi: np.ndarray
    psi: np.ndarray

    def through(self, value: np.ndarray, first: np.ndarray, second: np.ndarray) -> Averages:
        """A function of the averages, with its first (o, k) and second derivatives (o, k, k)."""
        turned = np.einsum("okl,lp->okp", second, self.slope)
        psi = np.einsum("ok,wskp->wsop", first, self.psi, optimize=True)
        psi += np.einsum("okp,wsk->wsop", turned, self.phi, optimize=True)
        phi = self.phi @ first.T
        return Averages(value, first @ self.slope, phi, psi)


def averages(
    values: np.ndarray, slopes: np.ndarray, energy_slopes: np.ndarray, beta: float
) -> Averages:
    """Of (W, S, k), (W, S, k, p), (W, S, p)."""
    axes = (0, 1)
    value = values.mean(axis=axes)
    phi = values - value
    centred = energy_slopes - energy_slopes.mean(axis=axes)
    psi = slopes - beta * phi[..., :, None] * centred[..., None, :]
    slope = psi.mean(axis=axes)
    return Averages(value, slope, phi, psi - slope)


def estimate(value: np.ndarray, influence: np.ndarray, controls: np.ndarray) -> Estimate:
    """The value (n,) less what the controls (W, S, q) explain of its influence (W, S, n).

    Coefficients for each piece of the trajectory come from the others, so that they know nothing of
    what they are applied to and bring in no bias.
    """
    plain, effective = mean_error(influence)
    if not controls.shape[2]:
        return Estimate(value, plain, effective, np.ones_like(plain))
    explained = _explained(influence, controls)
    shift = explained.mean(axis=(0, 1))
    error, remaining = mean_error(influence - (explained - shift))
    # A regression over few samples may put in more noise than it takes off.
    better = error < plain
    error = np.where(better, error, plain)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(better, (plain / error) ** 2, 1.0)
    return Estimate(
        value - np.where(better, shift, 0.0), error, np.where(better, remaining, effective), gain
    )


def _explained(influence: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """(W, S, n) what the controls say of the influence, by cross-fitted regression."""
    f = influence.reshape(-1, influence.shape[2])
    z = controls.reshape(-1, controls.shape[2])
    z = z / np.maximum(np.sqrt(np.mean(z**2, axis=0)), np.finfo(float).tiny)
    folds = np.array_split(np.arange(len(z)), min(_FOLDS, len(z)))
    gram, moment = z.T @ z, z.T @ f
    out = np.empty_like(f)
    for rows in folds:
        part = z[rows]
        coefficients = np.linalg.pinv(gram - part.T @ part, rcond=_RANK, hermitian=True)
        out[rows] = part @ (coefficients @ (moment - part.T @ f[rows]))
    return out.reshape(influence.shape)
