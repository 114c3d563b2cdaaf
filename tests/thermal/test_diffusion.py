"""Self-diffusion of random walks, whose constant is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mdsens.errors import InputError, NotConverged
from mdsens.thermal import NPT, NVE, NVT, Trajectory, self_diffusion
from tests.examples import make

D, N, WALKERS, SAMPLES = 0.7, 32, 2, 1000
ENSEMBLE = NVE(temperature=1.0, time_step=0.01, steps=SAMPLES * 5, stride=5)


def walks(seed: int, ensemble: Any = ENSEMBLE, samples: int = SAMPLES) -> Trajectory:
    """Steps of variance 2 D t per direction, and a common wind that is no diffusion."""
    rng = np.random.default_rng(seed)
    size = np.sqrt(2.0 * D * ensemble.stride * ensemble.time_step)
    steps = size * rng.standard_normal((WALKERS, samples, N, 3)) + 0.3
    flat = np.zeros((WALKERS, samples))
    system = make(rng.random((N, 3)), np.eye(3), (True,) * 3)
    lister: Any = None
    return Trajectory(
        ensemble, system, {}, np.cumsum(steps, axis=1), flat, flat, flat, flat, lister
    )


def test_random_walks():
    """The constant, less the share of the centre of mass; and bars that are as wide as they say."""
    found = [self_diffusion(walks(seed)) for seed in range(20)]
    value, error = (np.array([getattr(e, name) for e in found]) for name in ("value", "error"))
    pulls = (value - D * (1.0 - 1.0 / N)) / error
    assert 0.6 < np.std(pulls) < 1.5 and abs(np.mean(pulls)) < 1.0
    assert np.all(error < 0.1 * D)


def test_what_does_not_diffuse():
    still = walks(0)
    caged = replace(still, positions=np.diff(still.positions, axis=1, prepend=0.0))
    e = self_diffusion(caged)
    assert abs(float(e.value)) < 1e-3
    flying = replace(still, positions=np.cumsum(still.positions, axis=1))
    with pytest.raises(NotConverged, match="do not grow linearly"):
        self_diffusion(flying)
    with pytest.raises(NotConverged, match="raise steps"):
        self_diffusion(walks(0, samples=100))


@pytest.mark.parametrize("kind", [NVT, NPT])
def test_dynamics_of_a_bath(kind):
    ensemble = kind(temperature=1.0, time_step=0.01, steps=100, stride=5)
    with pytest.raises(InputError, match="use nve"):
        self_diffusion(walks(0, ensemble, samples=20))
    if kind is NVT:
        self_diffusion(walks(0, replace(ensemble, thermostat="csvr")))
