"""`relax` under every transformation of JAX, and what it says when it cannot."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from tests.derivatives.routes import close, off_centre
from tests.examples import EXAMPLES, make, random_discs

POTENTIAL = ms.potentials.SoftSphere()


@cache
def packing():
    """12 discs, relaxed, so that transformed searches start near a minimum."""
    start = random_discs(12, 1.0, 2)
    params = POTENTIAL.parameters(start, diameter="diameter")
    relaxed = ms.relax(POTENTIAL, params, start)
    return start.with_positions(np.asarray(relaxed.positions)), params


def measure(params, positions=None):
    """A scalar of the relaxed state that no rigid motion leaves alone."""
    system, _ = packing()
    if positions is not None:
        system = system.with_positions(positions)
    minimum = ms.relax(POTENTIAL, params, system)
    probe = jnp.sum(off_centre(POTENTIAL, params, minimum))
    return probe + ms.pressure(POTENTIAL, params, minimum)


@cache
def gradient():
    return jax.grad(measure)(packing()[1])


def test_reverse_equals_forward():
    _, params = packing()
    forward = jax.jacfwd(measure)(params)
    for name in params:
        close(gradient()[name], forward[name], 1e-10)


def test_jit_equals_eager():
    compiled = jax.jit(jax.value_and_grad(measure))
    value, found = compiled(packing()[1])
    assert value == pytest.approx(float(measure(packing()[1])), rel=1e-11)
    for name, expected in gradient().items():
        close(found[name], expected, 1e-9)


def test_gradient_against_relaxed_differences():
    _, params = packing()
    h = 1e-6
    for k in (0, 5):
        step = jnp.zeros(12).at[k].set(h)
        ends = [measure({**params, "diameter": params["diameter"] + s * step}) for s in (1, -1)]
        difference = float(ends[0] - ends[1]) / (2 * h)
        assert float(gradient()["diameter"][k]) == pytest.approx(difference, rel=1e-6)


def test_second_derivatives_of_all_four_nestings():
    _, params = packing()

    def of_epsilon_and_scale(theta):
        scaled = {**params, "epsilon": theta[0], "diameter": theta[1] * params["diameter"]}
        return measure(scaled)

    theta = jnp.array([1.1, 1.0])
    first = jax.grad(of_epsilon_and_scale)
    h = 1e-5
    steps = h * jnp.eye(2)
    expected = np.stack([(first(theta + s) - first(theta - s)) / (2 * h) for s in steps])
    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            found = outer(inner(of_epsilon_and_scale))(theta)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * abs(expected).max())


def test_one_particle_in_a_fixed_cell_has_derivatives():
    """Nothing can move, and the pressure answers to the diameter all the same."""
    system = make([[0.2, 0.1, 0.3]], np.eye(3), (True,) * 3)

    def pressure(diameter):
        params = {"epsilon": jnp.ones(()), "alpha": jnp.asarray(2.0), "diameter": diameter}
        return ms.pressure(POTENTIAL, params, ms.relax(POTENTIAL, params, system))

    # Six neighbours at a distance of one, three pairs: p = -dE/dV = (1 - 1/D) / D.
    exact = -1.0 / 1.2**2 + 2.0 / 1.2**3
    for slope in (jax.grad(pressure), jax.jit(jax.grad(pressure)), jax.jacfwd(pressure)):
        assert float(slope(jnp.asarray(1.2))) == pytest.approx(exact, rel=1e-12)


def test_vmap_over_starts_equals_a_loop():
    system, params = packing()
    rng = np.random.default_rng(0)
    starts = jnp.asarray(system.positions + 0.02 * rng.standard_normal((8, 12, 2)))
    values = jax.vmap(lambda r: measure(params, r))(starts)
    loop = jnp.stack([measure(params, r) for r in starts])
    np.testing.assert_allclose(values, loop, rtol=1e-9)


def test_vmap_over_parameters_gives_each_its_gradient():
    _, params = packing()
    stretch = jnp.linspace(0.99, 1.02, 3)

    def of_scale(s):
        return measure({**params, "diameter": s * params["diameter"]})

    together = jax.vmap(jax.grad(of_scale))(stretch)
    one_by_one = jnp.stack([jax.grad(of_scale)(s) for s in stretch])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-8)


def test_one_bad_member_does_not_poison_the_batch():
    system, params = packing()
    bad = np.array(system.positions)
    bad[0] = np.nan
    starts = jnp.stack([jnp.asarray(system.positions), jnp.asarray(bad)])
    values, gradients = jax.vmap(jax.value_and_grad(measure, argnums=0), in_axes=(None, 0))(
        params, starts
    )
    assert np.isfinite(values[0]) and np.isnan(values[1])
    close(gradients["diameter"][0], gradient()["diameter"], 1e-8)
    assert np.isnan(gradients["diameter"][1]).all()


def test_derivative_with_respect_to_the_cell():
    system, params = packing()

    def of_strain(e):
        cell = jnp.asarray(system.cell) @ jnp.array([[1.0 + e[0], e[1]], [0.0, 1.0 + e[2]]])
        minimum = ms.relax(POTENTIAL, params, system.with_cell(cell))
        return ms.energy(POTENTIAL, params, minimum) + ms.pressure(POTENTIAL, params, minimum)

    start = jnp.zeros(3)
    found = jax.grad(of_strain)(start)
    h = 1e-6
    for k in range(3):
        step = jnp.zeros(3).at[k].set(h)
        difference = (of_strain(start + step) - of_strain(start - step)) / (2 * h)
        assert float(found[k]) == pytest.approx(float(difference), rel=2e-6)


@pytest.mark.slow
def test_preallocated_list_under_jit():
    """Big enough for a cell list; the search starts away from the minimum and renews the list."""
    system = random_discs(60, 0.95, 6)
    params = POTENTIAL.parameters(system, diameter="diameter")
    neighbors = ms.neighbor_list(POTENTIAL, params, system)

    def pressure(p, **keywords):
        return ms.pressure(POTENTIAL, p, ms.relax(POTENTIAL, p, system, **keywords))

    here = jax.jit(lambda p: ms.relax(POTENTIAL, p, system, neighbors=neighbors))(params)
    assert bool(here.report.converged)
    value, found = jax.value_and_grad(pressure)(params)
    again = jax.grad(lambda p: pressure(p, neighbors=neighbors))(params)
    if float(pressure(params, neighbors=neighbors)) == pytest.approx(float(value), rel=1e-8):
        close(again["diameter"], found["diameter"], 1e-8)


def test_many_particles_under_jit_ask_for_a_list():
    n = 2100
    system = make(np.random.default_rng(0).random((n, 2)) * 50, 50 * np.eye(2), (True, True))
    params = POTENTIAL.parameters(system, diameter=1.0)
    with pytest.raises(ms.InputError, match="neighbor_list"):
        jax.jit(lambda p: ms.relax(POTENTIAL, p, system).positions)(params)


def test_not_converged_is_an_exception_or_nan():
    start = random_discs(12, 1.0, 2)
    params = POTENTIAL.parameters(start, diameter="diameter")
    with pytest.raises(ms.NotConverged, match="max_steps") as caught:
        ms.relax(POTENTIAL, params, start, max_steps=3, polish=False)
    assert np.isfinite(np.asarray(caught.value.result.positions)).all()
    found = jax.jit(lambda p: ms.relax(POTENTIAL, p, start, max_steps=3, polish=False))(params)
    assert not bool(found.report.converged)
    assert np.isnan(np.asarray(found.positions)).all()


def saddle():
    """Two discs that overlap across both faces of a channel, exactly above each other."""
    system = make([[1.0, 0.0], [1.0, 0.9]], np.diag([4.0, 1.8]), (True, True))
    return system, POTENTIAL.parameters(system, diameter=1.0)


def test_no_derivative_at_a_saddle():
    morse = ms.potentials.Morse(smoothing="none")
    line = make([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0]], np.eye(3), (False,) * 3)
    params = morse.parameters(line, D0=1.0, alpha=2.0, r0=1.0, cutoff=9.0)
    # Relaxing along the line keeps the line: straight chains of attracting atoms are saddles.
    with pytest.raises(ms.DerivativeUndefined):
        jax.grad(lambda p: jnp.sum(ms.relax(morse, p, line).positions ** 3))(params)
    with pytest.raises(ms.DerivativeUndefined, match="negative") as caught:
        ms.sensitivity(morse, params, line, observables=["energy"], wrt=["D0"])
    assert caught.value.result.certificate.negative_modes > 0
    assert not caught.value.result.sensitivity


def test_load_bearing_column_is_not_called_a_rattler():
    system, params = saddle()
    with pytest.raises(ms.DerivativeUndefined):
        ms.sensitivity(POTENTIAL, params, system, observables=["energy"], wrt=["diameter"])
    minimum = ms.relax(POTENTIAL, params, system)
    assert float(ms.energy(POTENTIAL, params, minimum)) > 1e-3


def test_float32_is_refused():
    system, params = packing()
    short = {**params, "diameter": params["diameter"].astype(jnp.float32)}
    with pytest.raises(ms.Float32Error, match="float32"):
        ms.relax(POTENTIAL, short, system)


def test_unknown_options_are_named():
    system, params = packing()
    with pytest.raises(ms.InputError, match="lbfgs"):
        ms.relax(POTENTIAL, params, system, minimizer="newton")
    free = replace(system, pbc=(True, False))
    with pytest.raises(ms.InputError, match="periodic in every direction"):
        ms.relax(POTENTIAL, params, free, cell="full")


@pytest.mark.parametrize("minimizer", ["fire", "precon_fire", "gradient_descent", "lbfgs"])
def test_every_minimizer_reaches_the_floor_in_any_unit(minimizer: str):
    example = EXAMPLES["cluster"]()
    for energy, length in ((1.0, 1.0), (1e-5, 3e-10), (1e6, 2e3)):
        system = example.system.with_positions(length * np.asarray(example.system.positions))
        params = example.potential.parameters(
            system, epsilon=energy, sigma=length, cutoff=10.0 * length
        )
        force = energy / length
        found = ms.relax(example.potential, params, system, minimizer=minimizer, fmax=1e-12 * force)
        lowest = float(ms.energy(example.potential, params, found)) / energy
        assert lowest == pytest.approx(-16.505384, abs=1e-6)


def test_a_free_cell_without_polish_meets_the_same_criterion():
    example = EXAMPLES["free_cell"]()
    options = {**example.options, "polish": False, "fmax": 1e-8}
    found = ms.relax(example.potential, example.params, example.system, **options)
    stress = np.asarray(ms.stress(example.potential, example.params, found))
    volume = float(ms.volume(example.potential, example.params, found))
    excess = np.abs(stress + 1e-3 * np.eye(3)).max() * volume ** (1 / 3)
    assert excess <= 1e-8 and float(found.report.residual) <= 1e-8


def test_without_polish_the_minimizer_goes_all_the_way():
    example = EXAMPLES["cluster"]()
    found = ms.relax(
        example.potential, example.params, example.system, minimizer="fire", polish=False, fmax=1e-9
    )
    assert int(found.report.newton_steps) == 0
    assert float(found.report.residual) <= 1e-9
