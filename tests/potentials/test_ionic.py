"""Buckingham and BKS, with charges per species, against their equations and silica's numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erfc

from mdsens.equilibrium.assembly import sparse
from mdsens.errors import InputError
from mdsens.neighbors import pair_list
from mdsens.potentials import BKS
from tests.examples import make
from tests.potentials import pairwise
from tests.potentials.cases import evaluate

SILICA = {
    "A": {"Si-Si": 0.0, "O-Si": 18003.7572, "O-O": 1388.773},
    "rho": {"Si-Si": 1.0, "O-Si": 1 / 4.87318, "O-O": 1 / 2.76},
    "C": {"Si-Si": 0.0, "O-Si": 133.5381, "O-O": 175.0},
    "charge": {"Si": 2.4, "O": -1.2},
    **{"alpha": 0.25, "cutoff": 4.5, "cutoff_coulomb": 5.2},
}


def cristobalite():
    """Ideal beta-cristobalite in its primitive cell, a little shaken."""
    a = 7.16
    cell = a * np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    si = np.array([[0.0, 0, 0], [0.25, 0.25, 0.25]])
    o = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 8
    shaken = 0.1 * np.random.default_rng(0).normal(size=(6, 3))
    return make(
        a * np.vstack([si, o]) + shaken, cell, (True,) * 3, ["Si"] * 2 + ["O"] * 4, units="metal"
    )


def bks(r, p):
    """Of one pair; p["charge"] is the mean of two, so the product comes as p["product"]."""
    short = pairwise.cut(pairwise.buckingham, pairwise.buckingham_slope, "force_shift")(r, p)
    alpha, rc = p["alpha"], p["cutoff_coulomb"]
    if r.real >= rc.real:
        return short

    def slope(x):
        return (
            -erfc(alpha * x) / x**2 - 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * x) ** 2)) / x
        )

    damped = erfc(alpha * r) / r - erfc(alpha * rc) / rc - (r - rc) * slope(rc)
    return short + 14.3996454784255 * p["product"] * damped


def reference(given, system, radius=5.2):
    """(E, forces, virial) with the self-energy."""
    alpha, rc = given["alpha"], given["cutoff_coulomb"]
    q = np.array([given["charge"][s] for s in system.species])
    charge = given["charge"]
    products = {
        f"{a}-{b}": charge[a] * charge[b] for a, b in (("Si", "Si"), ("O", "Si"), ("O", "O"))
    }
    e, forces, virial = pairwise.energy_and_forces(
        bks, {**given, "product": products}, system, radius
    )
    end = erfc(alpha * rc) / rc
    slope = -end / rc - 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * rc) ** 2)) / rc
    own = (end - rc * slope) / 2 + alpha / np.sqrt(np.pi)
    return e - 14.3996454784255 * own * np.sum(q**2), forces, virial


POTENTIAL = BKS(smoothing="force_shift")


@pytest.fixture(scope="module")
def found():
    system = cristobalite()
    params = POTENTIAL.parameters(system, **SILICA)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 5.6))
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    return evaluate(POTENTIAL, params, x, h, pairs, jnp.zeros((3, 3)))


def test_energy_forces_virial_and_hessian(found):
    system = cristobalite()
    energy, forces, virial = reference(SILICA, system)
    np.testing.assert_allclose(found.energy, energy.real, rtol=1e-12)
    for gradient in (found.by_positions, found.gradient):
        np.testing.assert_allclose(gradient, -forces, atol=1e-10 * np.abs(forces).max())
    np.testing.assert_allclose(found.by_strain, virial, atol=1e-10 * np.abs(virial).max())
    dense = np.asarray(found.hessian).reshape(18, 18)
    matrix = sparse(found.local, 6, 3).toarray()
    np.testing.assert_allclose(matrix, dense, atol=1e-11 * np.abs(dense).max())


@pytest.mark.parametrize("name", ["A", "rho", "C", "charge", "alpha", "cutoff_coulomb"])
def test_derivative_by_every_parameter(found, name: str):
    system, value = cristobalite(), SILICA[name]
    keys = list(value) if isinstance(value, dict) else [None]
    for key, slope in zip(keys, np.atleast_1d(np.asarray(found.by_parameters[name])), strict=True):
        own = value if key is None else value[key]
        step = 1e-4 * max(abs(own), 0.1)

        def energy(by: float, key=key, own=own):
            varied = own + by if key is None else {**value, key: own + by}
            return reference({**SILICA, name: varied}, system)[0].real

        expected = (energy(step) - energy(-step)) / (2 * step)
        np.testing.assert_allclose(slope, expected, rtol=2e-6, atol=1e-6)


def test_charges_are_summed_as_madelung_did():
    # Rock salt: E per pair of ions = -1.7475646 k q^2 / r; damped sums come close from 12 on.
    fcc = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    system = make([[0.0, 0, 0], [0.5, 0, 0]], fcc, (True,) * 3, ["Na", "Cl"], units="metal")
    system = system.with_positions(5.6 * np.asarray(system.positions)).with_cell(5.6 * fcc)
    nothing = {"A": 0.0, "rho": 1.0, "C": 0.0, "cutoff": 1.0}
    params = BKS().parameters(
        system, charge={"Na": 1.0, "Cl": -1.0}, alpha=0.2, cutoff_coulomb=14.0, **nothing
    )
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 14.0))
    energy = BKS().energy(params, jnp.asarray(system.positions), jnp.asarray(system.cell), pairs)
    np.testing.assert_allclose(energy, -1.7475646 * 14.39964548 / 2.8, rtol=1e-4)


def test_charges_belong_to_particles():
    system = cristobalite()
    pairwise_charge = {**SILICA, "charge": {"Si-Si": 1.0, "O-Si": 1.0, "O-O": 1.0}}
    params = POTENTIAL.parameters(system, **pairwise_charge)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 5.6))
    with pytest.raises(InputError, match=r"charge: a table of pairs; give one entry per species"):
        POTENTIAL.energy(params, jnp.asarray(system.positions), jnp.asarray(system.cell), pairs)
