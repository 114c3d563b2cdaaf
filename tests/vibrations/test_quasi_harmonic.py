"""Heated crystals against free energies tabulated over volumes, identities and re-solved differences."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import mdsens as ms
from mdsens.potentials import LennardJones
from mdsens.vibrations import monkhorst_pack
from tests.examples import Example, make
from tests.vibrations.crystals import SILICON, argon, silicon

MESH, HBAR, T = (2, 2, 2), 0.05, 0.2
WAVES = monkhorst_pack(MESH)


def heated(params=None, temperature=T, **options):
    e = argon()
    params = e.params if params is None else params
    return ms.quasi_harmonic(
        e.potential, params, e.system, temperature, MESH, **{"hbar": HBAR, **options}
    )


@cache
def warm():
    return heated()


def tabulated(spread: float = 0.02, count: int = 13) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Volumes about the one found, static energies and phonons (count, modes) there."""
    e, v = argon(), float(warm().volume)
    volumes = v * (1.0 + spread * np.cos(np.pi * (np.arange(count) + 0.5) / count))
    energies, omegas = [], []
    for volume in volumes:
        cell = np.asarray(warm().state.cell) * (volume / v) ** (1 / 3)
        here = e.system.with_cell(cell)
        energies.append(float(ms.energy(e.potential, e.params, here)))
        found = ms.phonon_frequencies(e.potential, e.params, here, WAVES)
        omegas.append(np.asarray(found).ravel())
    return volumes, np.array(energies), np.array(omegas)


def test_against_free_energies_over_volumes():
    """A polynomial in V through F(V, T) of plain sums over phonons, its minimum, and how that moves."""
    volumes, static, omega = tabulated()
    middle = float(warm().volume)

    def minimum(t, pressure=0.0):
        x = HBAR * omega / t
        free = static + np.sum(0.5 * x * t + t * np.log(-np.expm1(-x)), axis=1) / 8
        fit = np.polynomial.Polynomial.fit(volumes - middle, free + pressure * volumes, 8)
        root = brentq(fit.deriv(), -0.01 * middle, 0.01 * middle, xtol=1e-15)
        return root + middle, fit.deriv(2)(root), fit(root)

    v, stiff, gibbs = minimum(T)
    found = warm()
    assert float(found.volume) == pytest.approx(v, rel=1e-8)
    assert float(found.gibbs) == pytest.approx(gibbs, rel=1e-10)
    assert float(found.bulk_modulus) == pytest.approx(v * stiff, rel=1e-5)
    h = 1e-3
    hot, cold = minimum(T + h), minimum(T - h)
    alpha = (hot[0] - cold[0]) / (2 * h) / v
    assert float(found.thermal_expansion) == pytest.approx(alpha, rel=1e-5)
    rate = -T * (hot[2] - 2 * gibbs + cold[2]) / h**2
    assert float(found.heat_capacity) == pytest.approx(rate, rel=1e-4)


def test_identities():
    """C_P - C_V = T V alpha^2 B_T, and the mean of the modes' Grueneisen parameters."""
    q, e = warm(), argon()
    difference = T * q.volume * q.thermal_expansion**2 * q.bulk_modulus
    gained = float(q.heat_capacity - q.harmonic.heat_capacity)
    assert gained == pytest.approx(float(difference), rel=1e-9)
    gamma = ms.grueneisen_parameters(e.potential, e.params, q.state, WAVES)
    omega = ms.phonon_frequencies(e.potential, e.params, q.state, WAVES)
    x = HBAR * np.asarray(omega) / T
    weights = x**2 * np.exp(x) / np.expm1(x) ** 2
    mean = np.sum(weights * np.asarray(gamma)) / np.sum(weights)
    assert float(q.grueneisen) == pytest.approx(mean, rel=1e-9)


def test_classical_crystal_at_zero_temperature_is_the_static_one():
    e = argon()
    static = ms.relax(e.potential, e.params, e.system, cell="isotropic")
    cold = heated(temperature=0.0, statistics="classical")
    np.testing.assert_allclose(cold.state.cell, static.cell, rtol=1e-12, atol=1e-12)
    # It expands all the same, as k gamma per mode says.
    assert float(cold.harmonic.heat_capacity) == pytest.approx(3.0, rel=1e-12)
    assert float(cold.thermal_expansion) > 0.05


def test_refuses():
    e = argon()
    with pytest.raises(ms.InputError, match="use harmonic"):
        heated(cell="fixed")
    with pytest.raises(ms.InputError, match="temperature = -1"):
        heated(temperature=-1.0)
    with pytest.raises((ms.NotConverged, ms.DerivativeUndefined), match="quasi_harmonic"):
        heated(temperature=3.0)
    assert e.system.units == "reduced"


@pytest.mark.slow
def test_scaling_identities():
    """V goes with sigma^3 at fixed hbar/(sigma sqrt(m epsilon)); with epsilon and T alike, hbar too."""

    def volume(params, t, mass):
        return heated(params, t, masses=mass).volume

    e, mass = argon(), jnp.asarray(1.0)
    by_params, by_t, by_mass = jax.grad(volume, (0, 1, 2))(e.params, T, mass)
    v = float(warm().volume)
    # hbar scales as sigma sqrt(m epsilon): twice its power is taken by the mass.
    lengths = by_params["sigma"] + 1.9 * by_params["cutoff"] - 2.0 * by_mass
    assert float(lengths) == pytest.approx(3 * v, rel=1e-8)
    energies = 1.3 * by_params["epsilon"] + T * by_t - by_mass
    assert float(energies) == pytest.approx(0.0, abs=1e-8 * abs(T * float(by_t)))
    assert float(by_t) == pytest.approx(v * float(warm().thermal_expansion), rel=1e-9)
    h = 1e-4
    ends = [heated({**e.params, "sigma": 1.0 + s * h}).volume for s in (1, -1)]
    assert float(by_params["sigma"]) == pytest.approx(float(ends[0] - ends[1]) / (2 * h), rel=1e-6)


@pytest.mark.slow
def test_derivatives_of_what_is_measured():
    """Expansion, bulk modulus and heat capacity by epsilon and T, by pressure; forward and under jit."""
    e = argon()

    def told(epsilon, t, pressure):
        q = heated({**e.params, "epsilon": epsilon}, t, pressure=pressure)
        return jnp.stack([q.thermal_expansion, q.bulk_modulus, q.heat_capacity, q.gibbs])

    here, h = (1.3, T, 0.05), 1e-4
    found = jax.jacfwd(told, argnums=(0, 1, 2))(*here)
    for k, rates in enumerate(found):
        ends = [told(*(x + s * h * (j == k) for j, x in enumerate(here))) for s in (1, -1)]
        want = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(rates, want, rtol=3e-5, atol=1e-6)
    compiled = jax.jit(jax.grad(lambda x: told(x, *here[1:])[1]))(1.3)
    assert float(compiled) == pytest.approx(float(found[0][1]), rel=1e-7)
    assert np.isnan(jax.jit(lambda t: told(1.3, t, 0.0))(3.0)).all()


@pytest.mark.slow
def test_zero_temperature_limit_of_the_derivative():
    e = argon()

    def static(params):
        return jnp.linalg.det(ms.relax(e.potential, params, e.system, cell="isotropic").cell)

    def cold(params):
        return heated(params, 0.0, statistics="classical").volume

    want, found = jax.grad(static)(e.params), jax.grad(cold)(e.params)
    for name, value in want.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-9, abs=1e-9)


def layers() -> Example:
    """A layer of larger atoms after every two of an fcc crystal: ions move when the cell does."""
    primitive = 0.5 * 1.55 * (1.0 - np.eye(3))
    system = make(
        np.arange(3)[:, None] * primitive[:1],
        np.diag([3.0, 1.0, 1.0]) @ primitive,
        (True,) * 3,
        ["A", "B", "B"],
    )
    potential = LennardJones(smoothing="xplor")
    sigma = {"A-A": 1.04, "A-B": 1.02, "B-B": 1.0}
    params = potential.parameters(system, epsilon=1.0, sigma=sigma, cutoff=1.95)
    return Example(potential, params, system)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["isotropic", "full"])
def test_ions_that_follow_the_cell(mode):
    """G has no slope by a strain that is free, with ions relaxed anew; and how both answer to T."""
    e, masses = layers(), {"A": 1.0, "B": 2.0}
    options = {"masses": masses, "hbar": HBAR}
    here = ms.quasi_harmonic(
        e.potential, e.params, e.system, 0.05, MESH, pressure=0.3, cell=mode, **options
    )
    volume = float(here.volume)
    rng, h = np.random.default_rng(3), 1e-4

    def gibbs(strain, t):
        stretch = np.eye(3) + strain
        start = replace(
            e.system,
            positions=np.asarray(here.state.positions) @ stretch,
            cell=np.asarray(here.state.cell) @ stretch,
        )
        state = ms.relax(e.potential, e.params, start)
        free = ms.harmonic(e.potential, e.params, state, t, MESH, **options).free_energy
        return float(free) + 0.3 * volume * np.linalg.det(stretch)

    free = rng.normal(size=(3, 3)) if mode == "full" else np.eye(3)
    free = 0.5 * (free + free.T)
    near, far = (
        (gibbs(k * h * free, 0.05) - gibbs(-k * h * free, 0.05)) / (2 * k * h) for k in (1, 2)
    )
    assert abs((4 * near - far) / 3) < 1e-7
    assert gibbs(0 * free, 0.05) == pytest.approx(float(here.gibbs), rel=1e-10)
    t = 0.05 + 1e-4
    hot = ms.quasi_harmonic(
        e.potential, e.params, e.system, t, MESH, pressure=0.3, cell=mode, **options
    )
    cold = ms.quasi_harmonic(
        e.potential, e.params, e.system, 0.05 - 1e-4, MESH, pressure=0.3, cell=mode, **options
    )
    rate = np.linalg.solve(here.state.cell, hot.state.cell - cold.state.cell) / 2e-4
    np.testing.assert_allclose(
        here.expansion, 0.5 * (rate + rate.T), atol=1e-5 * np.abs(rate).max()
    )


@pytest.mark.slow
def test_silicon():
    """Stillinger and Weber's silicon from F over lattice constants."""
    e, mesh = silicon(), (4, 4, 4)
    lengths = 5.43094978 * (1.0 + 0.008 * np.cos(np.pi * (np.arange(9) + 0.5) / 9))
    temperatures = np.array([100.0, 300.0])

    def free(a, t):
        scale = a / 5.43094978
        here = replace(SILICON, positions=SILICON.positions * scale, cell=SILICON.cell * scale)
        return float(ms.harmonic(e.potential, e.params, here, t, mesh).free_energy)

    def shortest(t):
        fit = np.polynomial.Polynomial.fit(lengths - 5.43, [free(a, t) for a in lengths], 7)
        return 5.43 + brentq(fit.deriv(), -0.03, 0.04, xtol=1e-14)

    for t in temperatures:
        found = ms.quasi_harmonic(e.potential, e.params, SILICON, t, mesh)
        a = float(4 * found.volume) ** (1 / 3)
        assert a == pytest.approx(shortest(t), rel=1e-8)
        rate = (shortest(t + 2.0) - shortest(t - 2.0)) / 4.0
        assert float(found.thermal_expansion) / 3 * a == pytest.approx(rate, rel=1e-3)
    assert float(found.thermal_expansion) / 3 == pytest.approx(2.65e-6, rel=0.01)
