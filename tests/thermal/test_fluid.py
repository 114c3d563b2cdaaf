"""The Lennard-Jones fluid: published state points, scaling identities, and independent runs."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.thermal import NVT, simulate, thermal_sensitivity
from tests.examples import make

POTENTIAL = ms.potentials.LennardJones()


def lattice(cells: int, density: float):
    """fcc, `cells` cubic cells to a side."""
    side = cells * (4.0 / density) ** (1.0 / 3.0)
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1)
    base = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    positions = (side / cells * (grid.reshape(-1, 1, 3) + base)).reshape(-1, 3)
    return make(positions, side * np.eye(3), (True,) * 3)


def fluid(cells: int, density: float, steps: int, cutoff: float, seed: int = 0, **changed):
    system = lattice(cells, density)
    params = POTENTIAL.parameters(
        system, **{"epsilon": 1.0, "sigma": 1.0, "cutoff": cutoff, **changed}
    )
    ensemble = NVT(
        temperature=0.85, time_step=0.004, equilibration=6000, steps=steps, stride=50,
        thermostat="csvr", seed=seed,
    )  # fmt: skip
    return simulate(POTENTIAL, params, system, ensemble)


@pytest.mark.slow
def test_published_state_point():
    """NIST's Monte Carlo at T = 0.85, density 0.82: U = -5.7947, p = 0.5535(31) with tails."""
    density, cutoff = 0.82, 3.0
    trajectory = fluid(5, density, 20_000, cutoff)
    n = trajectory.system.n_particles

    def unshifted(potential, params, state):
        near = state.neighbors.distances(state.positions, state.cell) < cutoff
        count = (near & state.neighbors.valid).sum()
        energy = ms.energy(potential, params, state)
        return (energy + 4.0 * (cutoff**-12 - cutoff**-6) * count) / n

    result = thermal_sensitivity(POTENTIAL, trajectory, observables=[unshifted, "pressure"])
    energy, pressure = result.observables["unshifted"], result.observables["pressure"]
    tail = 8.0 * np.pi * density * (cutoff**-9 / 9.0 - cutoff**-3 / 3.0)
    assert abs(energy.value + tail + 5.7947) < 3.0 * energy.error
    tail = 16.0 * np.pi * density**2 / 3.0 * (2.0 / 3.0 * cutoff**-9 - cutoff**-3)
    assert abs(pressure.value + tail - 0.5535) < 3.0 * np.hypot(pressure.error, 0.0031)
    assert energy.error < 0.004 and pressure.error < 0.02


@pytest.mark.slow
def test_scaling_identities():
    """Sample by sample, not within errors: U is homogeneous in epsilon, and in all lengths.

    epsilon d<U>/d epsilon = <U> - T d<U>/dT,   (sigma d/d sigma + r_c d/dr_c) p = 3 (B - p)
    """
    trajectory = fluid(3, 0.776, 4000, 2.0)
    result = thermal_sensitivity(
        POTENTIAL, trajectory, wrt=["epsilon", "sigma", "cutoff"], control=False,
        observables=["energy", "pressure", "heat_capacity", "elastic_tensor"],
    )  # fmt: skip
    value = {name: e.value for name, e in result.observables.items()}
    slope = result.sensitivity
    n, kt = trajectory.system.n_particles, trajectory.kt
    by_temperature = kt * (value["heat_capacity"] - 1.5 * n)
    by_epsilon = slope["energy"]["epsilon"].value
    assert by_epsilon == pytest.approx(value["energy"] - by_temperature, rel=1e-9)
    bulk = np.sum(value["elastic_tensor"][:3, :3]) / 9.0
    lengths = slope["pressure"]["sigma"].value + 2.0 * slope["pressure"]["cutoff"].value
    assert lengths == pytest.approx(3.0 * (bulk - value["pressure"]), rel=1e-8)


@pytest.mark.slow
def test_independent_runs():
    """d<U>/d epsilon and d<p>/d sigma against runs at other parameters; with and without controls."""
    trajectory = fluid(3, 0.776, 40_000, 2.0)
    found = {
        control: thermal_sensitivity(
            POTENTIAL, trajectory, control=control,
            observables=["energy", "pressure"], wrt=["epsilon", "sigma"],
        )
        for control in (False, True)
    }  # fmt: skip
    for observable, parameter, h in (("energy", "epsilon", 0.05), ("pressure", "sigma", 0.02)):
        ends = [
            thermal_sensitivity(
                POTENTIAL, fluid(3, 0.776, 40_000, 2.0, seed=3, **{parameter: 1.0 + s * h}),
                observables=[observable],
            ).observables[observable]
            for s in (-1.0, 1.0)
        ]  # fmt: skip
        difference = (ends[1].value - ends[0].value) / (2.0 * h)
        error = np.hypot(ends[0].error, ends[1].error) / (2.0 * h)
        for result in found.values():
            slope = result.sensitivity[observable][parameter]
            assert abs(slope.value - difference) < 3.0 * np.hypot(slope.error, error)
            assert slope.error < 0.2 * abs(slope.value)
        plain, less = (found[c].sensitivity[observable][parameter] for c in (False, True))
        assert less.error < 0.8 * plain.error
