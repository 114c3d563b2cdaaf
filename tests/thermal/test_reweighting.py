"""Free energies of harmonic crystals: F = -(n/2) kT ln(2 pi kT/k) and a pull, closed."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymbar import MBAR

from mdsens.errors import InputError, NotConverged
from mdsens.thermal import (
    NVT,
    energy_slope,
    free_energies,
    simulate,
    thermal_sensitivity,
    trajectory_for,
)
from mdsens.thermal.bennett import _errors, _log_weights, _solve
from tests.thermal.springs import ring

KT, B = 0.3, 0.8
POTENTIAL, SYSTEM = ring()
PULLED = float(np.sum(POTENTIAL.pattern * (POTENTIAL.inverse @ POTENTIAL.pattern)))
ENSEMBLE = NVT(
    temperature=KT,
    time_step=0.15,
    relaxation=1.0,
    steps=20_000,
    equilibration=400,
    stride=20,
    seed=5,
)


def free_energy(k: float) -> float:
    freedom = 2 * (len(POTENTIAL.sites) - 1)
    return 0.5 * freedom * KT * np.log(k) - 0.5 * B**2 * PULLED / k


def sampled(k: float):
    return simulate(POTENTIAL, POTENTIAL.parameters(SYSTEM, k=k, b=B), SYSTEM, ENSEMBLE)


@pytest.mark.slow
def test_differences():
    stiffness = (2.0, 2.6, 3.4)
    found = free_energies(POTENTIAL, [sampled(k) for k in stiffness])
    wanted = np.array([free_energy(k) for k in stiffness])
    off = found.differences - (wanted[None, :] - wanted[:, None])
    assert np.all(np.abs(off) <= 3.5 * found.errors)
    # Independent samples alone: error of a mean of slopes over the square root of their number.
    assert 0.0 < found.errors[0, 2] < 0.1 * abs(wanted[2] - wanted[0])
    np.testing.assert_allclose(found.overlap.sum(axis=1), 1.0, rtol=1e-6)


def of_oscillators(rng: np.random.Generator, k: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(K, n) reduced energies of independent samples at each stiffness, at all."""
    x = np.concatenate([rng.normal(size=n) / np.sqrt(s) for n, s in zip(counts, k, strict=True)])
    return 0.5 * k[:, None] * x[None] ** 2


def with_errors(reduced: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    f = _solve(reduced, counts)
    return f, _errors(np.exp(_log_weights(f, reduced, counts)).T, counts)


# Of states that are all but the same, of some, and of some that hardly overlap; and energies as
# large as those of many particles.
@pytest.mark.parametrize(
    "stiffness", [(1.0, 1.0005, 1.001, 1.002), (1.0, 1.5, 2.5, 4.0), (1.0, 20.0, 400.0, 8000.0)]
)
@pytest.mark.parametrize("common", [0.0, 1e6])
def test_as_pymbar_has_it(stiffness, common):
    counts, rng = np.array([300, 120, 40, 250]), np.random.default_rng(0)
    small = of_oscillators(rng, np.array(stiffness), counts)
    large = small + common * rng.normal(size=counts.sum()) + common * np.arange(4.0)[:, None]
    f, errors = with_errors(large, counts)
    # It is written for arrays that JAX may broadcast.
    with jax.numpy_rank_promotion("allow"):
        told = MBAR(small, counts, solver_protocol=({"method": "adaptive"},))
        known = told.compute_free_energy_differences()
    np.testing.assert_allclose(f - common * np.arange(4.0), known["Delta_f"][0], atol=1e-6)
    np.testing.assert_allclose(errors, known["dDelta_f"], atol=1e-6)


@pytest.mark.slow
def test_errors_are_honest():
    """Over two hundred repeats with independent samples, from the distributions themselves."""
    rng, counts, inside, deviations, told = np.random.default_rng(2), np.array([60, 80]), 0, [], []
    for _ in range(200):
        f, errors = with_errors(of_oscillators(rng, np.array([1.0, 2.5]), counts), counts)
        off = f[1] - 0.5 * np.log(2.5)
        inside += abs(off) < errors[0, 1]
        deviations.append(off)
        told.append(errors[0, 1])
    assert 0.60 < inside / 200 < 0.76
    assert np.std(deviations) == pytest.approx(np.mean(told), rel=0.15)


@pytest.mark.slow
def test_slope_and_new_trajectories():
    trajectory = sampled(2.0)
    slope = energy_slope("k")
    result = thermal_sensitivity(
        POTENTIAL, trajectory, observables=[slope], wrt=["k"], control=False
    )
    value = result.observables["energy_slope_k"]
    second = result.sensitivity["energy_slope_k"]["k"]
    freedom = 2 * (len(POTENTIAL.sites) - 1)
    assert (
        abs(value.value - (0.5 * freedom * KT / 2.0 + 0.5 * B**2 * PULLED / 4.0))
        < 3.5 * value.error
    )
    curved = -0.5 * freedom * KT / 4.0 - B**2 * PULLED / 8.0
    assert abs(second.value - curved) < 3.5 * second.error

    near = {**trajectory.params, "k": jnp.asarray(2.1)}
    assert trajectory_for(POTENTIAL, near, trajectory) is trajectory
    far = {**trajectory.params, "b": jnp.asarray(12.0)}
    again = trajectory_for(POTENTIAL, far, trajectory)
    assert float(again.params["b"]) == 12.0
    with pytest.raises(NotConverged, match="overlap"):
        free_energies(POTENTIAL, [trajectory, again])


@pytest.fixture(scope="module")
def short():
    ensemble = replace(ENSEMBLE, steps=400, equilibration=0)
    return simulate(POTENTIAL, POTENTIAL.parameters(SYSTEM, k=2.0, b=B), SYSTEM, ensemble)


def test_displacements_stay_those_from_the_start(short):
    """A trajectory that goes on from a sample has the crystal, not that sample, as its reference."""
    far = {**short.params, "b": jnp.asarray(12.0)}
    again = trajectory_for(POTENTIAL, far, short)
    assert again is not short
    np.testing.assert_array_equal(again.system.positions, SYSTEM.positions)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"cell": 21.0 * np.eye(2)}, "the cell of the first"),
        ({"pbc": (True, False)}, "the periodic directions of the first"),
        ({"fixed": (True,) + (False,) * 5}, "the fixed particles of the first"),
        ({"species": ("Y",) * 6}, "the species of the first"),
    ],
)
def test_other_systems_have_no_difference(short, change, what):
    other = replace(short, system=replace(SYSTEM, **change))
    with pytest.raises(InputError, match=f"trajectory 1 has not {what}"):
        free_energies(POTENTIAL, [short, other])


def test_another_potential(short):
    other = replace(POTENTIAL, springs=(POTENTIAL.springs[0][:6], POTENTIAL.springs[1][:6]))
    with pytest.raises(InputError, match="trajectory 0 was sampled with another potential"):
        free_energies(other, [short, short])
    foreign = replace(short, params={"k": short.params["k"]})
    with pytest.raises(InputError, match="names of parameters"):
        free_energies(POTENTIAL, [short, foreign])


def test_refused():
    with pytest.raises(InputError, match="two or more"):
        free_energies(POTENTIAL, [])
