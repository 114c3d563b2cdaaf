"""Time series of correlated samples: how many independent ones they are worth. NumPy only."""

from __future__ import annotations

import numpy as np

# Fewer independent samples have no trustworthy error.
LEAST_SAMPLES = 20.0
# Starts of the equilibrated part that are tried.
_TRIED = 50
# Fewer samples do not tell how much they fluctuate.
_FEW = 10


def inefficiency(series: np.ndarray) -> np.ndarray:
    """g, samples per independent sample, of W x S samples of several quantities, (...).

    g = 1 + 2 sum_t rho(t), the sum over pairs rho(2k) + rho(2k + 1) as long as these are positive,
    made to fall (Geyer, doi:10.1214/ss/1177011137). The walkers share one mean, so that walkers
    which disagree count as one slow fluctuation. At least 1; 1 for constants.

    Args:
        series: (W, S, ...).
    """
    walkers, samples = series.shape[:2]
    flat = series.reshape(walkers, samples, -1)
    centred = flat - flat.mean(axis=(0, 1), keepdims=True)
    rho = _autocorrelation(centred)
    pairs = rho[: 2 * (samples // 2)].reshape(samples // 2, 2, flat.shape[2]).sum(axis=1)
    positive = np.logical_and.accumulate(pairs > 0.0, axis=0)
    falling = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=0)
    g = np.maximum(2.0 * falling.sum(axis=0) - 1.0, 1.0)
    return np.where(rho[0] > 0.0, g, 1.0).reshape(series.shape[2:])


def mean_error(influence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of the mean of (W, S, ...) and the number of independent samples, (...)."""
    walkers, samples = influence.shape[:2]
    effective = walkers * samples / inefficiency(influence)
    variance = influence.var(axis=(0, 1))
    return np.sqrt(variance / np.maximum(effective - 1.0, 1.0)), effective


def equilibrated(series: np.ndarray) -> int:
    """The start t of the part (W, S - t) that is worth the most independent samples.

    Chodera, doi:10.1021/acs.jctc.5b00784. A start other than zero has to be worth a tenth more: of
    fifty tries on noise one is a little better than the whole. One in the second half, where little is
    left to tell it from chance, also has to differ from what is before it, by four deviations.
    """
    samples = series.shape[1]
    last = samples - max(samples // 5, min(samples, 2))
    starts = np.unique(np.linspace(0, last, _TRIED, dtype=int))
    worth = np.array([(samples - t) / float(inefficiency(series[:, t:])) for t in starts])
    best = int(np.argmax(worth))
    start = int(starts[best])
    if worth[best] <= 1.1 * worth[0]:
        return 0
    late = start > samples // 2
    return 0 if late and not _differ(series[:, :start], series[:, start:]) else start


def _differ(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether the mean before is another one, by how much samples fluctuate after."""
    if after.size < _FEW:
        return False
    variance = after.var() * float(inefficiency(after)) * (1.0 / before.size + 1.0 / after.size)
    return bool((before.mean() - after.mean()) ** 2 > 16.0 * variance)


def _autocorrelation(centred: np.ndarray) -> np.ndarray:
    """(S, k) rho(t), averaged over walkers, of (W, S, k); zero for constants."""
    samples = centred.shape[1]
    spectrum = np.fft.rfft(centred, 2 * samples, axis=1)
    raw = np.fft.irfft(np.abs(spectrum) ** 2, 2 * samples, axis=1)[:, :samples].mean(axis=0)
    # Divided by the number of terms at every lag; the last ones are few, and left by Geyer's rule.
    covariance = raw / np.arange(samples, 0, -1)[:, None]
    scale = covariance[0]
    return np.where(scale > 0.0, covariance / np.where(scale > 0.0, scale, 1.0), 0.0)
