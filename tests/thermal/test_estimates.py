"""Bars of estimates that control variates make shorter by a hundred, against exact values."""

from __future__ import annotations

import numpy as np
import pytest

from mdsens.thermal.estimates import averages, estimate, means

RUNS, R, CURVED = 200, 0.2, 3e-3


def mode_squares(rng: np.random.Generator, samples: int) -> np.ndarray:
    """(1, S, 30) squares of correlated normal numbers, as the energies of modes are."""
    x = np.empty((1, samples, 30))
    x[:, 0] = rng.normal(size=30)
    for t in range(1, samples):
        x[:, t] = R * x[:, t - 1] + np.sqrt(1.0 - R * R) * rng.normal(size=30)
    return x**2


@pytest.mark.parametrize("samples", [60, 400])
def test_bars_of_nearly_perfect_controls(samples):
    """A = theta E + noise at theta = 1 with E = sum x^2 / 2, exp(-theta E): <A> = 15, d<A> = 0."""
    rng = np.random.default_rng(0)
    off = []
    for _ in range(RUNS):
        squares = mode_squares(rng, samples)
        energy = 0.5 * squares.sum(axis=2)
        noise = CURVED * rng.normal(size=(1, samples, 1))
        observed, explicit = energy[..., None] + noise, energy[..., None, None]
        # Of the modes as a whole and of a part, with the derivatives of their slopes.
        zero = np.stack([15.0 - energy, 7.5 - 0.5 * squares[..., :15].sum(axis=2)], axis=2)
        values = np.concatenate([observed, zero], axis=2)
        slopes = np.concatenate([explicit, (zero - [15.0, 7.5])[..., None]], axis=2)
        centre = means(values, zero)
        centre[1:] = 0.0
        centres = centre, means(energy[..., None], zero)
        whole = averages(values, slopes, energy[..., None], 1.0, centres)
        every = np.concatenate([zero, (whole.psi + whole.slope)[..., 1:, 0]], axis=2)
        value = estimate(whole.value[:1], whole.phi[..., :1], zero)
        slope = estimate(whole.slope[0], whole.psi[..., 0, :], every)
        assert value.gain > 1e4
        off.append([(value.value[0] - 15.0) / value.error[0], slope.value[0] / slope.error[0]])
    spread = np.sqrt(np.mean(np.square(off), axis=0))
    assert np.all((spread > 0.8) & (spread < 1.25)), spread
    held = np.mean(np.abs(off) < 1.0, axis=0)
    assert np.all((held > 0.58) & (held < 0.78)), held


def test_few_samples_bear_few_controls():
    rng = np.random.default_rng(1)
    influence, controls = rng.normal(size=(1, 60, 1)), rng.normal(size=(1, 60, 8))
    influence += controls[..., 7:]
    assert estimate(np.zeros(1), influence, controls).gain == 1.0
    assert estimate(np.zeros(1), influence, controls[..., ::-1]).gain > 1.4
