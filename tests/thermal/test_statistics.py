"""Correlated series of known law: x_t = r x_(t-1) + noise, worth (1 - r)/(1 + r) of their length."""

from __future__ import annotations

import numpy as np
import pytest

from mdsens.thermal.statistics import equilibrated, inefficiency, mean_error

R = np.exp(-0.5)


def series(rng: np.random.Generator, walkers: int, samples: int, r: float = R) -> np.ndarray:
    x = np.empty((walkers, samples))
    x[:, 0] = rng.normal(size=walkers)
    for t in range(1, samples):
        x[:, t] = r * x[:, t - 1] + np.sqrt(1.0 - r * r) * rng.normal(size=walkers)
    return x


def test_inefficiency():
    x = series(np.random.default_rng(0), 20, 5000)
    assert inefficiency(x) == pytest.approx((1.0 + R) / (1.0 - R), rel=0.05)
    assert inefficiency(np.ones((2, 100))) == 1.0


def test_errors_of_means_are_honest():
    rng = np.random.default_rng(1)
    runs = [series(rng, 1, 400) for _ in range(300)]
    means = np.array([x.mean() for x in runs])
    errors = np.array([float(mean_error(x)[0]) for x in runs])
    assert means.std() == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.12)
    assert 0.60 < np.mean(np.abs(means) < errors) < 0.76


@pytest.mark.parametrize(("height", "decay"), [(10.0, 5.0), (5.0, 30.0)])
def test_a_start_out_of_equilibrium_is_left_out(height, decay):
    rng, falling = np.random.default_rng(2), height * np.exp(-np.arange(400) / decay)
    starts = [equilibrated(series(rng, 1, 400) + falling) for _ in range(20)]
    # Where what is left of it drowns in the noise.
    assert 0.5 * decay * np.log(height) < np.median(starts) < 4.0 * decay * np.log(height)


def test_equilibrium_is_not_refused_for_chance():
    rng = np.random.default_rng(3)
    starts = np.array([equilibrated(series(rng, 1, 200)) for _ in range(150)])
    assert np.mean(starts > 0) < 0.25
    assert np.mean(starts > 100) < 0.01
    # Of steps by two deviations hardly any goes through.
    step = 2.0 * (np.arange(200) < 120)
    found = [equilibrated(series(rng, 1, 200) + step) > 100 for _ in range(20)]
    assert np.mean(found) >= 0.9


@pytest.mark.parametrize("samples", range(1, 10))
@pytest.mark.parametrize("walkers", [1, 3])
def test_few_samples_are_not_judged(walkers, samples):
    """Neither an empty end nor one sample, which never fluctuates, is called equilibrium."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        x = rng.normal(size=(walkers, samples))
        start = equilibrated(x)
        assert start <= max(0, samples - 2)
        assert walkers > 1 or 2 * start <= samples
        assert 1.0 <= inefficiency(x) <= max(1, 2 * samples)
        assert np.isfinite(mean_error(x)[0])
