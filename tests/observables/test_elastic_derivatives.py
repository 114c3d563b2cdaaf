"""Derivatives of elastic constants: sensitivity = jax.grad = dense autodiff = re-relaxation."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.derivatives.kernels import state_of
from mdsens.derivatives.linearization import linearize
from mdsens.derivatives.strained import nonaffine
from mdsens.equilibrium.linearized import dense_hessian
from mdsens.equilibrium.problem import Problem
from mdsens.observables.elasticity import WITH_DISPLACEMENTS
from mdsens.observables.nonaffine import imbalance, no_displacements
from mdsens.observables.voigt import deviatoric_strains, unit_strains
from mdsens.result import Result
from tests.derivatives.routes import close, dense_response
from tests.equilibrium.test_functional import packing
from tests.examples import EXAMPLES, Example
from tests.observables.strained import dense_tensor, rattling_discs, strained

POTENTIAL = ms.potentials.SoftSphere()
CONSTANTS = ["elastic_tensor", "shear_modulus"]


@cache
def found() -> Result:
    system, params = packing()
    return ms.sensitivity(
        POTENTIAL, params, system, observables=CONSTANTS, wrt=["diameter", "epsilon"]
    )


@pytest.mark.slow
def test_sensitivity_is_dense_autodiff():
    system, params = packing()
    state = Example(POTENTIAL, params, system).found()
    s = state.setting

    @jax.jit
    @lambda f: jax.jacfwd(f, argnums=(0, 1))
    def tensor(x, diameter):
        return dense_tensor(POTENTIAL, {**params, "diameter": diameter}, x, s)

    by_x, by_diameter = tensor(s.positions, params["diameter"])
    response = dense_response(
        state, {"diameter": params["diameter"]}, "diameter", np.zeros(12, bool)
    )
    total = np.asarray(by_diameter) + np.asarray(by_x).reshape(3, 3, 24) @ response
    close(found().sensitivity["elastic_tensor"]["diameter"].value, total, 1e-9)
    value = dense_tensor(POTENTIAL, params, s.positions, s)
    close(found().observables["elastic_tensor"], value, 1e-11)


def test_sensitivity_is_what_relaxing_again_finds():
    system, params = packing()
    rows = ms.verify(
        POTENTIAL, params, system, observables=["shear_modulus"], wrt=["diameter"], samples=2,
    )  # fmt: skip
    assert len(rows) >= 2
    for row in rows:
        assert row.agrees and row.expected_error < 1e-6, row


def shear(scale):
    """G of the packing, disc k enlarged by a factor 1 + scale cos(k)."""
    system, known = packing()
    sizes = known["diameter"] * (1.0 + scale * jnp.cos(jnp.arange(12.0)))
    params = {**known, "diameter": sizes}
    return ms.shear_modulus(POTENTIAL, params, ms.relax(POTENTIAL, params, system))


def test_gradient_through_relax_is_the_sensitivity():
    _, known = packing()
    direction = known["diameter"] * jnp.cos(jnp.arange(12.0))
    expected = float(found().sensitivity["shear_modulus"]["diameter"].value @ direction)
    assert float(jax.grad(shear)(0.0)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_second_derivatives_of_all_four_nestings():
    first = jax.grad(shear)
    h = 1e-5
    expected = float(first(h) - first(-h)) / (2 * h)
    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            assert float(outer(inner(shear))(0.0)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_under_jit_and_vmap():
    steps = jnp.array([0.0, 1e-3])
    for f in (shear, jax.grad(shear), jax.grad(jax.grad(shear))):
        one_by_one = np.array([f(t) for t in steps])
        np.testing.assert_allclose(jax.vmap(f)(steps), one_by_one, rtol=1e-8)
        np.testing.assert_allclose(jax.jit(f)(steps[1]), one_by_one[1], rtol=1e-8)


@pytest.mark.slow
def test_displacements_that_are_given_have_no_second_derivative():
    """`sensitivity` holds them constant, which only a first derivative forgives."""
    system, params = packing()
    found = Example(POTENTIAL, params, system).found()
    state = state_of(found.problem, found.setting)
    fields = ms.observables.nonaffine_displacements(POTENTIAL, params, state).reshape(3, -1).T
    u = fields[:, :1] + fields[:, 1:2]

    def of_scale(t):
        larger = {**params, "diameter": params["diameter"] * (1.0 + t)}
        return WITH_DISPLACEMENTS[ms.bulk_modulus](u, POTENTIAL, larger, state)

    assert np.isfinite(jax.grad(of_scale)(0.0))
    assert np.isnan(jax.grad(jax.grad(of_scale))(0.0))


@pytest.mark.slow
def test_rattlers_do_not_matter():
    example = rattling_discs()
    result = ms.sensitivity(
        example.potential, example.params, example.system, observables=["bulk_modulus"],
        wrt=["diameter"],
    )  # fmt: skip
    loose = result.certificate.rattler_indices
    slopes = np.asarray(result.sensitivity["bulk_modulus"]["diameter"])
    assert len(loose) == 1 and np.all(slopes[loose] == 0.0)
    assert np.abs(np.delete(slopes, loose)).min() > 0.0


def test_scaling_identities():
    """C is linear in epsilon, and goes as length^-d where all lengths are scaled alike: a larger
    cell at fixed diameters is the opposite of larger diameters in a fixed cell."""
    system, params = packing()
    sizes, h = np.asarray(params["diameter"]), 1e-6

    def tensor(step: float) -> np.ndarray:
        larger = strained(system, step * np.eye(2))
        minimum = ms.relax(POTENTIAL, params, larger)
        return np.asarray(ms.elastic_tensor(POTENTIAL, params, minimum))

    value = found().observables["elastic_tensor"]
    slopes = found().sensitivity["elastic_tensor"]
    close(slopes["epsilon"].value, value, 1e-10)
    by_cell = (tensor(h) - tensor(-h)) / (2 * h)
    close(np.asarray(slopes["diameter"]) @ sizes, -2.0 * value - by_cell, 1e-7)


def test_with_a_free_cell_strain_is_imposed_all_the_same():
    """The factor at hand is that of positions and cell together: strain is eliminated again."""
    system, params = packing()
    options = {"cell": "full", "pressure": 0.05}
    found = Example(POTENTIAL, params, system, options).found()
    line = linearize(found.problem, found.setting, "auto", 1e-10)
    assert line.operator.size == line.setting.positions.size + 3
    held = Problem(line.problem.potential, line.problem.pbc)
    strains = unit_strains(2)
    xi = imbalance(held, line.setting, strains, no_displacements(line.setting, strains))
    hessian = dense_hessian(held, line.setting)
    expected = -np.linalg.pinv(hessian, rcond=1e-9, hermitian=True) @ np.asarray(xi)
    # In parts: what is known of pure shear helps with the rest.
    for some in (deviatoric_strains(2), strains):
        of_units = np.einsum("aij,bij,b->ab", some, strains, [1.0, 1.0, 2.0])
        close(nonaffine(line, some)[0], expected @ of_units.T, 1e-10)


@pytest.mark.slow
def test_derivatives_with_a_free_cell():
    """The tensor is that of a cell that is held, its derivative that of a cell that is free."""
    example = EXAMPLES["free_cell"]()
    known = example.potential, example.params
    result = ms.sensitivity(
        *known, example.system, observables=["elastic_tensor"], wrt=["sigma"], **example.options
    )
    minimum = ms.relax(*known, example.system, **example.options)
    close(result.observables["elastic_tensor"], ms.elastic_tensor(*known, minimum), 1e-9)

    def at(step: float) -> np.ndarray:
        params = {**example.params, "sigma": example.params["sigma"] + step}
        moved = ms.relax(example.potential, params, result.system, **example.options)
        return np.asarray(ms.elastic_tensor(example.potential, params, moved))

    h = 1e-5
    difference = (at(h) - at(-h)) / (2 * h)
    close(result.sensitivity["elastic_tensor"]["sigma"].value, difference, 1e-6)
