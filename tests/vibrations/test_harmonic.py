"""Harmonic thermodynamics against closed forms and plain sums over phonons."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.potentials import LennardJones, Morse
from mdsens.units import BOLTZMANN, PLANCK
from mdsens.vibrations import monkhorst_pack
from tests.examples import Example, make
from tests.vibrations.crystals import argon

MESH = (3, 3, 3)


def dimer(units: str = "reduced", species: str = "X") -> Example:
    """Two atoms one apart in the open: one vibration, k = 2 D0 alpha^2 = 5.6."""
    system = make([[0.0] * 3, [0.6, 0.8, 0.0]], np.eye(3), (False,) * 3, [species] * 2, units=units)
    potential = Morse(smoothing="none")
    params = potential.parameters(system, D0=0.7, alpha=2.0, r0=1.0, cutoff=3.0)
    return Example(potential, params, system)


def test_one_oscillator():
    """F = hw/2 + T ln(1 - exp(-hw/T)), S = x/(e^x - 1) - ln(1 - e^-x), C = x^2 e^x/(e^x - 1)^2."""
    e, hbar, mass = dimer(), 0.4, 1.7
    level = hbar * np.sqrt(2 * 5.6 / mass)
    for t in (0.1, 0.7, 20.0):
        found = ms.harmonic(e.potential, e.params, e.system, t, masses=mass, hbar=hbar)
        x = level / t
        s = x / np.expm1(x) - np.log(-np.expm1(-x))
        assert float(found.free_energy) == pytest.approx(
            -0.7 + level / 2 + t * np.log(-np.expm1(-x)), rel=1e-12
        )
        assert float(found.entropy) == pytest.approx(s, rel=1e-12)
        assert float(found.energy) == pytest.approx(float(found.free_energy) + t * s, rel=1e-12)
        assert float(found.heat_capacity) == pytest.approx(
            x**2 * np.exp(x) / np.expm1(x) ** 2, rel=1e-11
        )
        assert float(found.modes) == pytest.approx(1.0, abs=1e-12)
    cold = ms.harmonic(e.potential, e.params, e.system, 0.0, masses=mass, hbar=hbar)
    assert float(cold.free_energy) == pytest.approx(-0.7 + level / 2, rel=1e-12)
    assert float(cold.entropy) == 0.0 and float(cold.heat_capacity) == 0.0
    plain = ms.harmonic(
        e.potential, e.params, e.system, 0.7, masses=mass, hbar=hbar, statistics="classical"
    )
    assert float(plain.free_energy) == pytest.approx(-0.7 + 0.7 * np.log(level / 0.7), rel=1e-12)
    assert float(plain.heat_capacity) == pytest.approx(1.0, rel=1e-12)


def test_metal_units():
    e = dimer("metal", "Ar")
    nu = float(ms.phonon_frequencies(e.potential, e.params, e.system, [0.0] * 3)[-1])
    cold = ms.harmonic(e.potential, e.params, e.system, 0.0)
    assert float(cold.free_energy) + 0.7 == pytest.approx(0.5 * PLANCK * nu, rel=1e-10)
    hot = ms.harmonic(e.potential, e.params, e.system, 1e5)
    assert float(hot.heat_capacity) == pytest.approx(BOLTZMANN, rel=1e-4)


def test_a_crystal_is_the_sum_of_its_phonons():
    """An odd mesh, whose three motions at q = 0 are left out; entropy and heat capacity by
    differences of the sum."""
    e = argon()
    omega = np.asarray(ms.phonon_frequencies(e.potential, e.params, e.system, monkhorst_pack(MESH)))
    omega, static = omega[omega > 0.0], float(ms.energy(e.potential, e.params, e.system))

    def free(t):
        x = 0.05 * omega / t
        return static + np.sum(0.5 * x * t + t * np.log(-np.expm1(-x))) / 27

    found = ms.harmonic(e.potential, e.params, e.system, 0.2, MESH, hbar=0.05)
    assert float(found.modes) == pytest.approx(3 - 3 / 27, abs=1e-12)
    assert float(found.free_energy) == pytest.approx(free(0.2), rel=1e-11)
    h = 1e-4
    below, here, above = (free(0.2 + k * h) for k in (-1, 0, 1))
    assert float(found.entropy) == pytest.approx((below - above) / (2 * h), rel=1e-6)
    assert float(found.heat_capacity) == pytest.approx(
        -0.2 * (above - 2 * here + below) / h**2, rel=1e-5
    )


def test_derivatives_by_parameters_and_masses():
    """Classical: dF/d(mass) = -3 kT/(2 m) a mode, and energies scale with epsilon."""
    e, t = argon(), 0.2

    def free(params, mass, t):
        found = ms.harmonic(e.potential, params, e.system, t, MESH, mass, statistics="classical")
        return found.free_energy

    here = (e.params, jnp.asarray(2.0), jnp.asarray(t))
    (by_params, by_mass, by_t), found = jax.grad(free, (0, 1, 2))(*here), free(*here)
    modes = 3 - 3 / 27
    assert float(by_mass) == pytest.approx(-modes * t / 4.0, rel=1e-10)
    # F(epsilon, T) is homogeneous, but for hbar omega/kT in the logarithm.
    scaled = 1.3 * by_params["epsilon"] + t * by_t
    assert float(scaled) == pytest.approx(float(found) - 0.5 * modes * t, rel=1e-10)
    h = 1e-5
    ends = [free({**e.params, "sigma": 1.0 + s * h}, *here[1:]) for s in (1, -1)]
    assert float(by_params["sigma"]) == pytest.approx(float(ends[0] - ends[1]) / (2 * h), rel=1e-7)


@pytest.mark.slow
def test_a_molecule_that_turns_as_its_bonds_change():
    """Second derivatives of a cluster, whose rotations move with it, by masses and parameters."""
    from tests.examples import cluster

    e = cluster()
    masses = jnp.linspace(1.0, 2.0, 7)

    def free(k):
        params = {**e.params, "sigma": e.params["sigma"] * (1.0 + 0.1 * k)}
        state = ms.relax(e.potential, params, e.system)
        heavy = masses * (1.0 + 0.3 * k * jnp.cos(jnp.arange(7.0)))
        return ms.harmonic(e.potential, params, state, 0.5, masses=heavy, hbar=0.1).free_energy

    slope = jax.grad(free)
    h = 1e-4
    assert float(slope(0.0)) == pytest.approx(float(free(h) - free(-h)) / (2 * h), rel=1e-6)
    second = jax.jacfwd(slope)(0.0)
    assert float(second) == pytest.approx(float(slope(h) - slope(-h)) / (2 * h), rel=1e-6)
    assert float(ms.harmonic(e.potential, e.params, free_state(e), 1.0).modes) == 15.0


def free_state(e: Example):
    return ms.relax(e.potential, e.params, e.system)


@pytest.mark.slow
def test_a_packing_without_its_rattlers():
    """All modes that the spectrum has, and no more."""
    from tests.examples import discs_with_rattlers

    e = discs_with_rattlers()
    state = free_state(e)
    known = ms.vibrations.modes(e.potential, e.params, e.system)
    found = ms.harmonic(e.potential, e.params, state, 0.1, hbar=0.01, statistics="classical")
    assert float(found.modes) == len(known.eigenvalues)
    want = found.static + 0.1 * np.sum(np.log(0.01 * known.frequencies / 0.1))
    assert float(found.free_energy) == pytest.approx(float(want), rel=1e-9)


def test_unstable_crystals_are_refused():
    """An expanded crystal, all bonds beyond their inflexion; NaN under jit."""
    system = make([[0.0] * 3], 0.5 * 1.9 * (1.0 - np.eye(3)), (True,) * 3)
    potential = LennardJones(smoothing="force_shift")
    params = potential.parameters(system, epsilon=1.3, sigma=1.0, cutoff=1.9)
    with pytest.raises(ms.DerivativeUndefined, match=r"harmonic: mode 1 .* at q = \(.*reduced"):
        ms.harmonic(potential, params, system, 0.2, (2, 2, 2))
    found = jax.jit(lambda p: ms.harmonic(potential, p, system, 0.2, (2, 2, 2)))(params)
    assert np.isnan(found.free_energy)


def test_refuses():
    e = dimer()
    here = (e.potential, e.params, e.system)
    with pytest.raises(ms.InputError, match="temperature = -1"):
        ms.harmonic(*here, -1.0)
    with pytest.raises(ms.InputError, match=r"shape \(2,\); one number"):
        ms.harmonic(*here, np.ones(2))
    with pytest.raises(ms.InputError, match="allowed: quantum, classical"):
        ms.harmonic(*here, 1.0, statistics="bose")
    with pytest.raises(ms.InputError, match="1 along directions that are not periodic"):
        ms.harmonic(*here, 1.0, (2, 1, 1))
    with pytest.raises(ms.InputError, match="hbar: known in metal units"):
        ms.harmonic(*here, 1.0, hbar=1.0, units="metal")
    with pytest.raises(ms.InputError, match="hbar = 0"):
        ms.harmonic(*here, 1.0, hbar=0.0)
