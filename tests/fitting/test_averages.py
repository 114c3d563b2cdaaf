"""Averages at a temperature as targets of a fit."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import InputError
from mdsens.fitting import Averaged, Free, Wanted, fit, space
from mdsens.thermal import NVE, NVT, thermal_sensitivity
from mdsens.thermal import observables as thermal
from tests.examples import make
from tests.potentials.crystals import FCC

POTENTIAL = ms.potentials.LennardJones()
PARAMS = {"epsilon": np.array(1.0), "sigma": np.array(1.0), "cutoff": np.array(1.6)}
FREE = {"epsilon": Free(), "sigma": Free()}


def crystal():
    corners = np.array(list(np.ndindex(3, 3, 3)))
    positions = 1.6 * (corners[:, None, :] + FCC).reshape(-1, 3)
    return make(positions, 4.8 * np.eye(3), (True,) * 3, ["X"] * len(positions), units="reduced")


def energy_and_pressure(potential, params, state):
    energy = ms.energy(potential, params, state) / len(state.positions)
    return jnp.stack([energy, thermal.pressure(potential, params, state)])


def target(values=(0.0, 0.0), sigma=0.1, observable=energy_and_pressure, **more):
    how = {
        "temperature": 0.3,
        "time_step": 0.005,
        "steps": 8000,
        "equilibration": 1500,
        "stride": 20,
        "walkers": 2,
        "relaxation": 0.2,
    }
    wanted = [Wanted(n, v, sigma) for n, v in zip(("energy", "pressure"), values, strict=True)]
    return Averaged("solid", crystal(), NVT(**{**how, **more}), observable, wanted)


@pytest.fixture(scope="module")
def solid():
    return target()


@pytest.mark.slow
def test_values_and_derivatives_are_those_of_the_ensemble(solid):
    s, u = space(PARAMS, FREE), np.zeros(2)
    found = solid.evaluate(POTENTIAL, s, u)
    trajectory = next(iter(solid._known.values()))
    told = thermal_sensitivity(
        POTENTIAL, trajectory, observables=[energy_and_pressure], wrt=["epsilon", "sigma"],
        control=False,
    )  # fmt: skip
    (value,), (slopes,) = told.observables.values(), told.sensitivity.values()
    np.testing.assert_allclose(found.values, value.value, rtol=1e-10)
    expected = np.stack([slopes[n].value for n in ("epsilon", "sigma")], axis=-1)
    np.testing.assert_allclose(found.jacobian, expected, rtol=1e-8)


@pytest.mark.slow
def test_a_trajectory_is_used_again_and_made_again(solid):
    s = space(PARAMS, FREE)
    here = solid.evaluate(POTENTIAL, s, np.zeros(2))
    near = solid.evaluate(POTENTIAL, s, np.array([0.002, 0.0]), here.memory)
    assert near.memory[0].tobytes() == here.memory[0].tobytes()
    far = solid.evaluate(POTENTIAL, s, np.array([0.2, 0.0]), here.memory)
    np.testing.assert_array_equal(far.memory[0], [0.2, 0.0])
    # As after an interruption: only the memory is left.
    again = target().evaluate(POTENTIAL, s, np.array([0.002, 0.0]), here.memory)
    assert again.values.tobytes() == near.values.tobytes()
    assert again.jacobian.tobytes() == near.jacobian.tobytes()


@pytest.mark.slow
def test_errors_above_sigma_are_refused():
    s, u = space(PARAMS, FREE), np.zeros(2)
    with pytest.raises(InputError, match=r"statistical error .* is above its sigma"):
        target(sigma=1e-6).evaluate(POTENTIAL, s, u)
    with pytest.raises(InputError, match="1 numbers, and 2 are"):
        target(observable=thermal.pressure).evaluate(POTENTIAL, s, u)


def test_refused():
    with pytest.raises(InputError, match="constant energy"):
        ensemble = NVE(temperature=1.0, time_step=0.005, steps=50)
        Averaged("x", crystal(), ensemble, thermal.pressure, [Wanted("pressure", 0.0, 1.0)])
    with pytest.raises(InputError, match="nothing is wanted"):
        Averaged("x", crystal(), target().ensemble, thermal.pressure, [])


@pytest.mark.slow
def test_recovery_from_averages_alone():
    """Within what the samples of two simulations differ by."""
    s = space(PARAMS, FREE)
    long = {"steps": 20_000, "walkers": 2}
    true = target(seed=5, **long).evaluate(POTENTIAL, s, np.zeros(2)).values
    start = {**PARAMS, "epsilon": np.array(1.1), "sigma": np.array(0.99)}
    found = fit(
        POTENTIAL, start, [target(true, 0.05, **long)], FREE, tolerance=1e-4, max_iterations=12
    )
    np.testing.assert_allclose(found.params["epsilon"], 1.0, atol=0.02)
    np.testing.assert_allclose(found.params["sigma"], 1.0, atol=0.002)
