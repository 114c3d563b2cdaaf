"""The elastic tensor is the slope of the stress, whatever holds the particles."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.observables import voigt
from tests.examples import EXAMPLES, make
from tests.observables.strained import relaxed, relaxed_stress, slopes, strained

SLOW = ("rattling_discs", "sheared_hertzian_discs", "sum_of_two", "crystal_vacancy", "free_cell")
NAMES = ["walled_discs", "spheres", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]


@cache
def tensor(name: str) -> np.ndarray:
    example, minimum, _ = relaxed(name)
    return np.asarray(ms.elastic_tensor(example.potential, example.params, minimum))


def close(a, b, rtol):
    np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(np.asarray(b)).max())


@pytest.mark.parametrize("name", NAMES)
def test_relaxed_tensor_is_the_slope_of_the_relaxed_stress(name: str):
    example, _, start = relaxed(name)
    found = slopes(lambda e: relaxed_stress(example, start, e), example.system.dimension)
    close(tensor(name), found, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_clamped_tensor_is_the_slope_of_the_unrelaxed_stress(name: str):
    example, minimum, _ = relaxed(name)
    potential, params = example.potential, example.params
    found = slopes(
        lambda e: ms.stress(potential, params, strained(minimum, e)), example.system.dimension
    )
    close(ms.elastic_tensor_clamped(potential, params, minimum), found, 1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_moduli_and_conventions_agree_with_the_tensor(name: str):
    example, minimum, _ = relaxed(name)
    known = example.potential, example.params, minimum
    d, c = example.system.dimension, tensor(name)
    p = float(ms.pressure(*known))
    by_energy = np.asarray(ms.elastic_tensor_energy(*known))
    np.testing.assert_allclose(by_energy, by_energy.T, atol=1e-12 * np.abs(c).max())
    np.testing.assert_allclose(voigt.stress_strain(by_energy, ms.stress(*known)), c, rtol=1e-12)
    assert float(ms.bulk_modulus(*known)) == pytest.approx(c[:d, :d].sum() / d**2, rel=1e-12)
    assert float(ms.shear_modulus(*known)) == pytest.approx(float(voigt.shear(c)), rel=1e-12)
    # The ratio is that of the isotropic material with the same moduli: inverted, its compliance.
    isotropic = float(voigt.bulk(c)) * np.ones((d, d)) + 2 * float(voigt.shear(c)) * (
        np.eye(d) - 1 / d
    )
    compliance = np.linalg.inv(isotropic)
    expected = -compliance[0, 1] / compliance[0, 0]
    assert float(ms.poisson_ratio(*known)) == pytest.approx(expected, rel=1e-10)
    # Pressure enters the two conventions by known amounts.
    lowered = float(voigt.shear(by_energy)) - p / 2
    raised = float(voigt.bulk(by_energy)) + p * (d - 1) / d
    assert float(ms.shear_modulus(*known)) == pytest.approx(lowered, rel=1e-10)
    assert float(ms.bulk_modulus(*known)) == pytest.approx(raised, rel=1e-10)
    # Relaxation only ever softens.
    softened = np.asarray(ms.elastic_tensor_clamped(*known)) - c
    softened = 0.5 * (softened + softened.T)
    assert np.linalg.eigvalsh(softened).min() > -1e-12 * np.abs(c).max()


def test_bulk_modulus_is_that_of_pressure_against_volume():
    example, _, start = relaxed("spheres")
    h = 1e-6

    def pressure(ln_volume: float) -> float:
        stretch = np.expm1(ln_volume / 3.0) * np.eye(3)
        return -float(jnp.trace(relaxed_stress(example, start, stretch))) / 3.0

    slope = -(pressure(h) - pressure(-h)) / (2 * h)
    found = ms.bulk_modulus(example.potential, example.params, relaxed("spheres")[1])
    assert float(found) == pytest.approx(slope, rel=1e-6)


def test_averages_of_an_isotropic_tensor_and_of_a_turned_one():
    rng = np.random.default_rng(4)
    for d in (2, 3):
        one = np.eye(d)
        bulk, shear = 1.7, 0.6
        mixed = np.einsum("ik,jl->ijkl", one, one) + np.einsum("il,jk->ijkl", one, one)
        full = (bulk - 2 * shear / d) * np.einsum("ij,kl->ijkl", one, one) + shear * mixed
        first, second = voigt.components(d).T
        pick = np.ix_(*[range(d)] * 4)

        def flat(tensor, first=first, second=second):
            return jnp.asarray(tensor[first[:, None], second[:, None], first[None], second[None]])

        assert float(voigt.bulk(flat(full[pick]))) == pytest.approx(bulk)
        assert float(voigt.shear(flat(full[pick]))) == pytest.approx(shear)
        other = rng.standard_normal((d,) * 4)
        other = other + other.transpose(1, 0, 2, 3)
        other = other + other.transpose(0, 1, 3, 2)
        turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
        turned = np.einsum("ai,bj,ck,dl,ijkl->abcd", turn, turn, turn, turn, other)
        for average in (voigt.bulk, voigt.shear):
            assert float(average(flat(turned))) == pytest.approx(float(average(flat(other))))


def test_fixed_particles_follow_the_strain():
    example, minimum, _ = relaxed("walled_discs")
    u = ms.observables.nonaffine_displacements(example.potential, example.params, minimum)
    assert u.shape == (3, 24, 2)
    still = np.asarray(example.system.fixed)
    assert np.all(np.asarray(u)[:, still] == 0.0) and np.abs(np.asarray(u)).max() > 0.1


def test_what_has_no_elastic_constants_is_refused():
    cluster = EXAMPLES["cluster"]()
    with pytest.raises(ms.InputError, match="periodic in every direction"):
        ms.shear_modulus(cluster.potential, cluster.params, cluster.system)
    example, minimum, start = relaxed("walled_discs")
    moved = np.array(start.positions)
    moved[np.argmin(start.fixed)] += 0.01
    with pytest.raises(ms.InputError, match="relax it first"):
        ms.elastic_tensor(example.potential, example.params, replace(start, positions=moved))
    # As it stands, a System in equilibrium is as good as a Minimum.
    close(ms.elastic_tensor(example.potential, example.params, start), tensor("walled_discs"), 1e-9)
    # Compiled code can only say NaN.
    compiled = jax.jit(lambda s: ms.shear_modulus(example.potential, example.params, s))
    shaken = replace(minimum, positions=jnp.asarray(moved))
    assert np.isnan(compiled(shaken))
    assert float(compiled(minimum)) == pytest.approx(
        float(ms.shear_modulus(example.potential, example.params, minimum)), rel=1e-10
    )


@pytest.mark.slow
def test_a_saddle_has_no_elastic_constants():
    """Two discs in a column, squeezed from both ends: moving one aside lowers the energy."""
    system = make([[1.0, 0.0], [1.0, 0.9]], np.diag([4.0, 1.8]), (True, True))
    potential = ms.potentials.LennardJones(smoothing="none")
    params = potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=3.0)
    with pytest.raises(ms.DerivativeUndefined, match="saddle"):
        ms.elastic_tensor(potential, params, system)
    with pytest.raises(ms.DerivativeUndefined, match="negative") as caught:
        ms.sensitivity(potential, params, system, observables=["shear_modulus", "pressure"])
    assert set(caught.value.result.observables) == {"pressure"}
