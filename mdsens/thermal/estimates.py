"""From samples to numbers with error bars. NumPy only.

With A_i, A_i' = dA_i/dtheta, U_i' at the samples, the average a = mean A and its derivative
D = mean A' - beta cov(A, U') vary as the means of their influence functions

    phi_i = A_i - a
    psi_i = A_i' - mean A' - beta ((A_i - a)(U_i' - mean U') - cov(A, U'))

so that a time series gives the error of a covariance as it does that of a mean. A function g of
averages has the influence g' phi, and its derivative g' D has g' psi + g'' phi D.

Influences are only the first order. What they leave out is as large as the product of the errors of two
means, which is nothing beside plain bars, but not beside those that control variates have made shorter
by a hundred. So the means from which A and U' are counted are themselves those that the controls correct.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdsens.thermal.statistics import mean_error

# Pieces of a trajectory, each corrected by what the others say.
_FOLDS = 5
# Independent samples that every control needs: with fewer the noise of the coefficients counts.
_EACH = 10.0
# Gains below this may be chance, and choosing by them makes bars too short.
_LEAST_GAIN = 1.4
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
        value: (k,) from which phi is counted.
        slope: (k, p).
        phi: (W, S, k), of whose mean the average is more than `value`.
        psi: (W, S, k, p), of mean zero.
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
    values: np.ndarray,
    slopes: np.ndarray,
    energy_slopes: np.ndarray,
    beta: float,
    centres: tuple[np.ndarray, np.ndarray],
) -> Averages:
    """Of (W, S, k), (W, S, k, p), (W, S, p), with the means (k,) and (p,) of the first and the last."""
    value, energy_slope = centres
    phi = values - value
    psi = slopes - beta * phi[..., :, None] * (energy_slopes - energy_slope)[..., None, :]
    slope = psi.mean(axis=(0, 1))
    return Averages(value, slope, phi, psi - slope)


def means(series: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """(n,) of (W, S, n), less what the controls (W, S, q) explain."""
    plain, borne = series.mean(axis=(0, 1)), _affordable(controls)
    if not borne.shape[2]:
        return plain
    return plain - _explained(series - plain, borne).mean(axis=(0, 1))


def estimate(value: np.ndarray, influence: np.ndarray, controls: np.ndarray) -> Estimate:
    """The value (n,) and the mean of its influence (W, S, n), less what the controls (W, S, q) explain.

    Coefficients for each piece of the trajectory come from the others, so that they know nothing of
    what they are applied to and bring in no bias. Of the controls there are as many as the samples
    bear, the first ones.
    """
    plain, effective = mean_error(influence)
    whole = value + influence.mean(axis=(0, 1))
    borne = _affordable(controls)
    if not borne.shape[2]:
        return Estimate(whole, plain, effective, np.ones_like(plain))
    explained = _explained(influence, borne)
    error, remaining = mean_error(influence - explained)
    # A regression over few samples may put in more noise than it takes off.
    better = _LEAST_GAIN * error**2 < plain**2
    error = np.where(better, error, plain)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(better, (plain / error) ** 2, 1.0)
    shift = np.where(better, explained.mean(axis=(0, 1)), 0.0)
    return Estimate(whole - shift, error, np.where(better, remaining, effective), gain)


def _affordable(controls: np.ndarray) -> np.ndarray:
    """The first ones, as many as there are independent samples for."""
    if not controls.shape[2]:
        return controls
    independent = float(mean_error(controls)[1].min())
    return controls[..., : int(independent / _EACH)]


def _explained(influence: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """(W, S, n) what the controls say of the influence, by cross-fitted regression.

    With a constant, since influences are counted from a mean that has an error, controls from one that
    has none: without it a part 1/(independent samples) of what the controls know would stay.
    """
    count = controls.shape[0] * controls.shape[1]
    f, z = influence.reshape(count, -1), controls.reshape(count, -1)
    z = z / np.maximum(np.sqrt(np.mean(z**2, axis=0)), np.finfo(float).tiny)
    out = np.empty_like(f)
    for rows in np.array_split(np.arange(count), min(_FOLDS, count)):
        others = np.delete(z, rows, axis=0), np.delete(f, rows, axis=0)
        zs, fs = (a - a.mean(axis=0) for a in others)
        coefficients = np.linalg.pinv(zs.T @ zs, rcond=_RANK, hermitian=True) @ (zs.T @ fs)
        out[rows] = z[rows] @ coefficients
    return out.reshape(influence.shape)
