"""Averages, derivatives and error bars of a harmonic crystal against closed forms."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.thermal import NVT, average, simulate, thermal_sensitivity
from mdsens.thermal.average import _reweighted
from mdsens.thermal.estimates import averages, estimate, means
from mdsens.thermal.jets import _at_samples
from tests.thermal.springs import ring, squares

KT, K, B = 0.3, 2.0, 0.8
WALKERS = 100
POTENTIAL, SYSTEM = ring()


PARAMS = POTENTIAL.parameters(SYSTEM, k=K, b=B)
# A hundred walkers, which are a hundred simulations.
ENSEMBLE = NVT(
    temperature=KT, time_step=0.15, relaxation=1.0, steps=6_000, equilibration=400, stride=20,
    walkers=WALKERS, seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def chunks():
    done: list = []
    simulate(POTENTIAL, PARAMS, SYSTEM, ENSEMBLE, record=done.append)
    return done


@pytest.fixture(scope="module")
def trajectory(chunks):
    return simulate(POTENTIAL, PARAMS, SYSTEM, ENSEMBLE, history=chunks)


def wanted():
    """The averages of energy and squares, and their derivatives by k and b."""
    d, n = 2, len(POTENTIAL.sites)

    def closed(k, b):
        pulled = float(np.sum(POTENTIAL.pattern * (POTENTIAL.inverse @ POTENTIAL.pattern)))
        energy = 0.5 * d * (n - 1) * KT - 0.5 * b**2 * pulled / k
        return jnp.stack([energy, POTENTIAL.mean_squares(k, b, KT)])

    return np.asarray(closed(K, B)), np.stack(jax.jacfwd(closed, argnums=(0, 1))(K, B), axis=1)


@pytest.mark.parametrize("control", [False, True])
def test_closed_forms(trajectory, control):
    result = thermal_sensitivity(
        POTENTIAL, trajectory, observables=["energy", squares], wrt=["k", "b"], control=control
    )
    values, slopes = wanted()
    for row, name in enumerate(("energy", "squares")):
        off = result.observables[name].value - values[row]
        assert abs(off) < 3.5 * result.observables[name].error + 1e-9
        for column, parameter in enumerate("kb"):
            found = result.sensitivity[name][parameter]
            assert abs(found.value - slopes[row, column]) < 3.5 * found.error + 1e-9
            assert control or found.error < 0.05 * abs(slopes).max()
    # What displacements times forces tell is the energy itself, but for the constant pull.
    gain = result.sensitivity["energy"]["k"].gain
    assert gain > 10.0 if control else gain == 1.0


def test_error_bars_are_honest(trajectory):
    """One standard deviation holds the truth in about 68 of 100 repeats; of values and slopes."""
    u = trajectory.positions - POTENTIAL.sites
    u = u - u.mean(axis=2, keepdims=True)
    i, j = POTENTIAL.springs
    stretched = 0.5 * np.sum((u[:, :, j] - u[:, :, i]) ** 2, axis=(2, 3))
    pulled = -np.sum(POTENTIAL.pattern * u, axis=(2, 3))
    energy_slopes = np.stack([stretched, pulled], axis=2)
    observed = np.stack([K * stretched + B * pulled, np.sum(u**2, axis=(2, 3))], axis=2)
    explicit = np.zeros((*observed.shape, 2))
    explicit[:, :, 0] = energy_slopes
    values, slopes = wanted()
    inside = []
    for w in range(WALKERS):
        one = slice(w, w + 1)
        none = np.zeros((1, observed.shape[1], 0))
        centres = means(observed[one], none), means(energy_slopes[one], none)
        found = averages(observed[one], explicit[one], energy_slopes[one], 1.0 / KT, centres)
        value = estimate(found.value, found.phi, none)
        slope = estimate(found.slope.reshape(-1), found.psi.reshape(*found.psi.shape[:2], -1), none)
        inside.append(
            np.concatenate([
                abs(value.value - values) < value.error,
                abs(slope.value - slopes.reshape(-1)) < slope.error,
            ])
        )  # fmt: skip
    share = np.mean(inside, axis=0)
    assert np.all((share > 0.55) & (share < 0.80)), share
    assert 0.60 < share.mean() < 0.76, share


def part(trajectory, walkers):
    names = ("positions", "cells", "energies", "temperatures", "conserved")
    return replace(trajectory, **{n: getattr(trajectory, n)[walkers, :100] for n in names})


def test_another_trajectory_needs_no_other_program(trajectory):
    known = []
    for first in (0, 4):
        some = part(trajectory, slice(first, first + 4))
        observables = [squares, "mean_square_displacement"]
        result = thermal_sensitivity(POTENTIAL, some, observables=observables, wrt=["k"])
        average(squares, POTENTIAL, some.params, some)
        programs = (_at_samples._cache_size(), _reweighted._cache_size())
        known.append((float(result.observables["squares"].value), programs))
    assert known[0][0] != known[1][0] and known[0][1] == known[1][1]


def test_average_is_the_estimate_and_has_all_derivatives(trajectory):
    few = part(trajectory, slice(0, 4))
    result = thermal_sensitivity(
        POTENTIAL, few, observables=[squares], wrt=["k", "b"], control=False
    )

    @jax.jit
    def mean(params):
        return average(squares, POTENTIAL, params, few)

    assert mean(few.params) == pytest.approx(result.observables["squares"].value, rel=1e-12)
    forward, backward = jax.jacfwd(mean)(few.params), jax.grad(mean)(few.params)
    for name in "kb":
        slope = float(result.sensitivity["squares"][name].value)
        assert float(forward[name]) == pytest.approx(slope, rel=1e-10)
        assert float(backward[name]) == pytest.approx(slope, rel=1e-10)
    # The second derivative by k, where U'' = 0: a third cumulant.
    positions, _ = few.kept
    u = positions - POTENTIAL.sites
    u = u - u.mean(axis=1, keepdims=True)
    a, i, j = np.sum(u**2, axis=(1, 2)), *POTENTIAL.springs
    s = 0.5 * np.sum((u[:, j] - u[:, i]) ** 2, axis=(1, 2))
    third = np.mean((a - a.mean()) * (s - s.mean()) ** 2) / KT**2
    assert float(jax.hessian(mean)(few.params)["k"]["k"]) == pytest.approx(third, rel=1e-9)


def test_reweighting_and_its_limit(trajectory):
    near = {**trajectory.params, "k": jnp.asarray(1.03 * K)}
    found = average(squares, POTENTIAL, near, trajectory)
    assert float(found) == pytest.approx(float(POTENTIAL.mean_squares(1.03 * K, B, KT)), rel=5e-3)
    far = {**trajectory.params, "k": jnp.asarray(20.0 * K)}
    with pytest.raises(ms.errors.NotConverged, match="simulate at them"):
        average(squares, POTENTIAL, far, trajectory)
    assert np.isnan(jax.jit(lambda p: average(squares, POTENTIAL, p, trajectory))(far))


def test_no_number_at_a_sample_is_no_average(trajectory):
    few = part(trajectory, slice(0, 2))
    highest = few.kept[0][:, 0, 0].max()

    def beyond(potential, params, state):
        return params["k"] * jnp.log(highest - state.positions[0, 0])

    assert thermal_sensitivity(POTENTIAL, few).sensitivity == {}
    with pytest.raises(ms.errors.NotConverged, match="beyond is no number in 1 samples"):
        thermal_sensitivity(POTENTIAL, few, observables=[squares, beyond], wrt=["k"])
    with pytest.raises(ms.errors.NotConverged, match="no number at some samples"):
        average(beyond, POTENTIAL, few.params, few)
    assert np.isnan(jax.jit(lambda p: average(beyond, POTENTIAL, p, few))(few.params))


def test_going_on_is_the_same(chunks, trajectory):
    """What was kept of a simulation leads to the same bits."""
    new: list = []
    again = simulate(POTENTIAL, PARAMS, SYSTEM, ENSEMBLE, history=chunks[:-1], record=new.append)
    assert len(chunks) == 4 and len(new) == 1
    for name in ("positions", "cells", "energies", "temperatures", "conserved"):
        np.testing.assert_array_equal(getattr(again, name), getattr(trajectory, name))
