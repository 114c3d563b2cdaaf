"""What each kind of dynamics keeps: heat in the modes of crystals, momentum, energy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_md import space

import mdsens as ms
from mdsens.errors import InputError, NotConverged
from mdsens.thermal import NPT, NVE, NVT, simulate, thermal_sensitivity
from tests.examples import make

SITES = np.stack(np.meshgrid(*[np.arange(2.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) + 0.5
EINSTEIN = make(SITES, 2.0 * np.eye(3), (True,) * 3)
SHORT = {"temperature": 0.1, "time_step": 0.01, "steps": 5000, "stride": 25, "relaxation": 0.3}


def held(positions, k, **_):
    """Every particle by its own spring to its site."""
    displacement, _ = space.periodic(2.0)
    offsets = jax.vmap(displacement)(positions, jnp.asarray(SITES))
    return 0.5 * k * jnp.sum(offsets**2)


POTENTIAL = ms.potentials.from_jax_md(held, EINSTEIN)
PARAMS = POTENTIAL.parameters(EINSTEIN, k=100.0)


def test_springs_to_the_cell_do_not_keep_momentum():
    """A thermostat then counts and moves all three directions of eight particles."""
    trajectory = simulate(POTENTIAL, PARAMS, EINSTEIN, NVT(**SHORT, thermostat="csvr"))
    centres = trajectory.positions[0].mean(axis=1) - SITES.mean(axis=0)
    assert np.std(centres) > 0.3 * np.sqrt(0.1 / 800.0)
    with pytest.raises(InputError, match="depends on where in the cell"):
        simulate(POTENTIAL, PARAMS, EINSTEIN, NPT(pressure=0.1, **SHORT))


@pytest.mark.parametrize("thermostat", ["csvr", "nose_hoover"])
def test_modes_that_keep_their_heat(thermostat):
    trajectory = simulate(POTENTIAL, PARAMS, EINSTEIN, NVT(**SHORT, thermostat=thermostat))
    with pytest.raises(NotConverged, match="have not exchanged their energies"):
        thermal_sensitivity(POTENTIAL, trajectory)


def test_modes_in_a_bath():
    trajectory = simulate(POTENTIAL, PARAMS, EINSTEIN, NVT(**SHORT))
    energy = thermal_sensitivity(POTENTIAL, trajectory).observables["energy"]
    assert abs(energy.value - 1.2) < 4.0 * energy.error


def test_pressure_at_constant_energy():
    """Has the kinetic temperature that there is, not the one at the start."""
    soft = ms.potentials.SoftSphere()
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    system = make(1.3 * grid, 3.9 * np.eye(3), (True,) * 3)
    params = soft.parameters(system, diameter=1.5, epsilon=1.0, alpha=2.0)
    trajectory = simulate(soft, params, system, NVE(temperature=0.3, time_step=0.02, steps=5000))
    result = thermal_sensitivity(soft, trajectory, observables=["pressure", virial, "stress"])
    virials = result.observables["virial"].value
    kept = trajectory.temperatures[:, trajectory.start :]
    assert kept.mean() < 0.9 * 0.3
    found = result.observables["pressure"].value
    assert found == pytest.approx(virials + 27.0 * kept.mean() / 3.9**3, rel=1e-9)
    assert -np.trace(result.observables["stress"].value) / 3.0 == pytest.approx(found, rel=1e-9)
    assert "of the temperature at the start" in result.checked.outcome
    with pytest.raises(InputError, match="not in NVE"):
        thermal_sensitivity(soft, trajectory, observables=["heat_capacity"])


def virial(potential, params, state):
    sigma = ms.stress(potential, params, state)
    return -jnp.trace(sigma) / 3.0
