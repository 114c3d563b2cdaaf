"""Ensembles: what they sample, how they go on after an interruption, what they refuse."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from ase.build import bulk

import mdsens as ms
from mdsens.errors import InputError, NotConverged
from mdsens.thermal import NPT, NVE, NVT, checked, simulate, thermal_sensitivity
from mdsens.thermal.observables import elastic_tensor
from tests.examples import make
from tests.thermal.springs import ring

POTENTIAL = ms.potentials.LennardJones(smoothing="force_shift")
SHORT = {"temperature": 0.7, "time_step": 0.004, "steps": 4000, "equilibration": 2000, "stride": 20}


def fcc(cells: int = 2, density: float = 0.9, **columns):
    a = (4.0 / density) ** (1.0 / 3.0)
    atoms = bulk("Ar", "fcc", a=a, cubic=True).repeat(cells)
    return make(atoms.positions, atoms.cell[:], (True,) * 3, **columns)


SYSTEM = fcc()
PARAMS = POTENTIAL.parameters(SYSTEM, epsilon=1.0, sigma=1.0, cutoff=1.5)


@pytest.fixture(scope="module")
def squeezed():
    return simulate(POTENTIAL, PARAMS, SYSTEM, NPT(pressure=3.0, **SHORT))


@pytest.mark.slow
def test_constant_pressure():
    """<N kT/V - dU/dV> = P, and <1 + V (p - P)/kT> = 0, of a gas of four: volumes come as
    V^4 exp(-(U + P V)/kT), not as V^3 or so, as they would with the momenta at rest."""
    gas = fcc(1, 0.01)
    ensemble = NPT(
        temperature=2.0, pressure=0.02, time_step=0.005, equilibration=4000, steps=100_000,
        stride=50, barostat_relaxation=5.0,
    )  # fmt: skip
    squeezed = simulate(POTENTIAL, PARAMS, gas, ensemble)
    result = thermal_sensitivity(
        POTENTIAL, squeezed, observables=["pressure", weighed], control=False
    )
    pressure, weight = result.observables["pressure"], result.observables["weighed"]
    assert abs(pressure.value - 0.02) < 3.5 * pressure.error
    assert abs(weight.value) < 3.5 * weight.error
    assert weight.error < 0.4  # a particle more or less would be seen


def weighed(potential, params, state):
    volume = ms.volume(potential, params, state)
    pressure = ms.pressure(potential, params, state)
    return 1.0 + volume * (pressure - state.pressure) / state.kt + len(state.positions)


@pytest.mark.slow
def test_constant_temperature():
    """All thermostats hold the kinetic temperature, with their own number of degrees of freedom, and
    agree in energy; at constant energy nothing is lost."""
    known = []
    for thermostat in ("langevin", "csvr", "nose_hoover"):
        ensemble = NVT(**{**SHORT, "steps": 60_000}, thermostat=thermostat)
        trajectory = simulate(POTENTIAL, PARAMS, SYSTEM, ensemble)
        health = checked(trajectory)
        assert abs(health.temperature - 1.0) < 3.5 * health.temperature_error
        assert health.temperature_error < 1.0 / 96.0  # three degrees of freedom too many or too few
        known.append(thermal_sensitivity(POTENTIAL, trajectory).observables["energy"])
    for one in known[1:]:
        off = abs(one.value - known[0].value)
        assert off < 3.5 * np.hypot(one.error, known[0].error)


@pytest.mark.slow
def test_constant_energy():
    trajectory = simulate(POTENTIAL, PARAMS, SYSTEM, NVE(**SHORT))
    assert np.ptp(trajectory.conserved) < 0.01 * np.ptp(trajectory.energies)
    assert np.isfinite(thermal_sensitivity(POTENTIAL, trajectory).observables["energy"].error)
    with pytest.raises(InputError, match="constant energy"):
        thermal_sensitivity(POTENTIAL, trajectory, wrt=["epsilon"])


@pytest.mark.slow
def test_going_on_is_the_same(squeezed):
    """After every chunk, in the middle of the equilibration as well."""
    chunks: list = []
    again = simulate(POTENTIAL, PARAMS, SYSTEM, squeezed.ensemble, record=chunks.append)
    assert len(chunks) == 3
    for done in (1, 2, 3):
        new: list = []
        other = simulate(
            POTENTIAL, PARAMS, SYSTEM, squeezed.ensemble, history=chunks[:done], record=new.append
        )
        assert len(new) == 3 - done
        for name in ("positions", "cells", "energies", "temperatures", "conserved"):
            np.testing.assert_array_equal(getattr(other, name), getattr(again, name))
    np.testing.assert_array_equal(again.positions, squeezed.positions)


@pytest.mark.slow
def test_walkers_and_held_particles():
    """Walkers differ; a held particle stays; the noise of the others does not move it."""
    system = replace(SYSTEM, fixed=(True,) + (False,) * 31)
    ensemble = NVT(**{**SHORT, "steps": 2000, "equilibration": 0}, walkers=2)
    trajectory = simulate(POTENTIAL, PARAMS, system, ensemble)
    assert trajectory.positions.shape == (2, 100, 32, 3)
    assert np.abs(trajectory.positions[0] - trajectory.positions[1]).max() > 0.1
    home = np.broadcast_to(SYSTEM.positions[0], (2, 100, 3))
    np.testing.assert_array_equal(trajectory.positions[:, :, 0], home)


@pytest.mark.slow
def test_lists_lose_nobody():
    """The recorded energy is the energy: of a fluid in which neighbours change all the time."""
    hot = NVT(**{**SHORT, "temperature": 4.0, "steps": 2000})
    trajectory = simulate(POTENTIAL, PARAMS, SYSTEM, hot)
    for k in (0, 50, 99):
        there = SYSTEM.with_positions(trajectory.positions[0, k])
        wanted = float(ms.energy(POTENTIAL, PARAMS, there))
        assert trajectory.energies[0, k] == pytest.approx(wanted, rel=1e-12)


def test_a_list_without_room_is_no_fault_of_the_time_step():
    """Second neighbours, all alike, stand just outside the lists of the start."""
    potential, crystal = ms.potentials.LennardJones(smoothing="xplor"), fcc(2, 4.0 / 1.5874**3)
    params = potential.parameters(crystal, epsilon=1.0, sigma=1.0, cutoff=1.58)
    ensemble = NVT(
        temperature=0.1, time_step=0.004, equilibration=2000, steps=100, seed=9, thermostat="csvr"
    )
    trajectory = simulate(potential, params, crystal, ensemble)
    there = crystal.with_positions(trajectory.positions[0, -1])
    wanted = float(ms.energy(potential, params, there))
    assert trajectory.energies[0, -1] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"temperature": 0.0}, "temperature: 0; must be positive"),
        ({"time_step": -1.0}, "time_step: -1; must be positive"),
        ({"steps": 10}, "stride: 20 is more than the 10 steps"),
        ({"walkers": 0}, "walkers: 0; must be >= 1"),
        ({"steps": 1e4}, "steps: 10000.0; must be an integer"),
        ({"temperature": "300"}, "temperature: '300'; must be a number"),
        ({"thermostat": "berendsen"}, "allowed: langevin, csvr, nose_hoover"),
    ],
)
def test_bad_numbers(change, what):
    with pytest.raises(InputError, match=what):
        NVT(**{**SHORT, **change})


@pytest.mark.slow
def test_time_step_too_large():
    with pytest.raises(NotConverged, match="lower time_step"):
        checked(simulate(POTENTIAL, PARAMS, SYSTEM, NVT(**{**SHORT, "time_step": 0.06})))


def test_too_short_times_are_named():
    good = NPT(pressure=3.0, **SHORT)
    assert good.remedy == "lower time_step (now 0.004)"
    hasty = replace(good, barostat_relaxation=0.1)
    assert hasty.remedy.startswith("raise barostat_relaxation (now 25 time steps")


def test_small_cell_at_constant_pressure():
    with pytest.raises(InputError, match="two cutoffs"):
        wide = {**PARAMS, "cutoff": jax.numpy.asarray(2.0)}
        simulate(POTENTIAL, wide, SYSTEM, NPT(pressure=3.0, **SHORT))


@pytest.mark.slow
def test_cell_shrinks_below_two_cutoffs():
    with pytest.raises(InputError, match=r"became less than two.* or a lower pressure"):
        wide = {**PARAMS, "cutoff": jax.numpy.asarray(1.65)}
        simulate(POTENTIAL, wide, fcc(density=0.8), NPT(pressure=8.0, **SHORT))


def test_cell_without_end():
    """What a negative pressure tears apart is told by its pressure."""
    gas = fcc(1, 0.05)
    ensemble = NPT(temperature=0.7, pressure=-1.0, time_step=0.004, steps=4000, stride=20)
    with pytest.raises(NotConverged, match=r"at a pressure of -1, .* raise the pressure"):
        simulate(POTENTIAL, PARAMS, gas, ensemble)


@pytest.mark.slow
def test_too_few_samples():
    trajectory = simulate(POTENTIAL, PARAMS, SYSTEM, NVT(**{**SHORT, "steps": 300}))
    with pytest.raises(NotConverged, match="independent samples"):
        thermal_sensitivity(POTENTIAL, trajectory, wrt=["epsilon"])


def test_names_of_observables():
    potential, system = ring()
    params = potential.parameters(system, k=2.0, b=0.8)
    ensemble = NVT(temperature=0.3, time_step=0.15, steps=20, stride=20)
    trajectory = simulate(potential, params, system, ensemble)
    with pytest.raises(InputError, match='"energy" is one name; give a list'):
        thermal_sensitivity(potential, trajectory, observables="energy")
    with pytest.raises(InputError, match='"weighed" is there twice'):
        thermal_sensitivity(potential, trajectory, observables=[weighed, weighed])


def test_elastic_constants_count_moving_particles():
    """As the pressure does: with all forces zero they are those of an ideal gas of these."""
    potential, system = ring()
    params = potential.parameters(system, k=2.0, b=0.8)
    ensemble = NVT(temperature=0.3, time_step=0.15, steps=20, stride=20)
    half = replace(system, fixed=(True,) * 3 + (False,) * 3)
    trajectory = simulate(potential, params, half, ensemble)
    found = elastic_tensor.combine((np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3))), trajectory)
    gas = 3 * 0.3 / 400.0
    np.testing.assert_allclose(np.abs(np.asarray(found))[0, 1], gas, rtol=1e-12)


@pytest.mark.parametrize("samples", range(1, 8))
def test_hardly_any_sample(samples):
    """One is worth one, and says nothing of its temperature or its time step."""
    potential, system = ring()
    params = potential.parameters(system, k=2.0, b=0.8)
    ensemble = NVT(temperature=0.3, time_step=0.15, steps=20 * samples, stride=20)
    trajectory = simulate(potential, params, system, ensemble)
    with pytest.raises(NotConverged, match=r"worth [\d.]+ independent samples"):
        thermal_sensitivity(potential, trajectory, wrt=["k"])


@pytest.mark.slow
def test_not_in_equilibrium(squeezed):
    slow = squeezed.energies + 100.0 * np.exp(-np.linspace(0.0, 3.0, 200))
    with pytest.raises(NotConverged, match="equilibrium"):
        checked(replace(squeezed, energies=slow))
