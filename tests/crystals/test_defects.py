"""Defects and surfaces of silicon: bonds counted, and derivatives through bulk and defect together."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from ase.build import diamond111

import mdsens as ms
from mdsens.errors import InputError
from tests.examples import make
from tests.potentials.crystals import SW_SILICON, cubic, mixed, primitive

A0, BOND = 5.43094978, 2.1683
POTENTIAL = ms.potentials.StillingerWeber()
BULK = primitive(5.40)
PARAMS = POTENTIAL.parameters(BULK, **SW_SILICON)
# At 5.40 as well: it is the bulk's relaxed cell that counts, not this one.
SITES = cubic(5.40)


def crystal(positions):
    n = len(positions)
    return make(positions, SITES.cell, SITES.pbc, ["Si"] * n, units="metal")


VACANCY = crystal(SITES.positions[1:])
INTERSTITIAL = crystal(np.vstack([SITES.positions, [[2.5, 2.6, 2.9]]]))


def test_a_vacancy_costs_four_bonds_less_two():
    found = ms.formation(POTENTIAL, PARAMS, VACANCY, BULK)
    np.testing.assert_allclose(found.energy, 2 * BOND, rtol=1e-9)
    np.testing.assert_allclose(found.volume, A0**3 / 8, rtol=1e-8)
    # The two cells are one crystal.
    np.testing.assert_allclose(found.defect.cell, A0 * np.eye(3), rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_derivatives_of_an_interstitial_go_through_the_lattice_constant():
    def cost(p):
        return ms.formation(POTENTIAL, p, INTERSTITIAL, BULK).energy

    value, slope = jax.value_and_grad(cost)(PARAMS)
    # Of units: an energy is proportional to epsilon and knows nothing of sigma.
    np.testing.assert_allclose(slope["epsilon"] * BOND, value, rtol=1e-10)
    assert abs(slope["sigma"]) < 1e-9
    for name in ("A", "gamma", "a"):
        here, step = float(PARAMS[name]), 1e-4
        ahead, behind = (cost({**PARAMS, name: here * (1 + h)}) for h in (step, -step))
        np.testing.assert_allclose(slope[name], (ahead - behind) / (2 * step * here), rtol=1e-6)


@pytest.mark.slow
def test_volume_at_constant_pressure():
    def volume(p):
        return ms.formation(POTENTIAL, p, INTERSTITIAL, BULK, cell="full").volume

    value, slope = jax.value_and_grad(volume)(PARAMS)
    np.testing.assert_allclose(slope["sigma"] * SW_SILICON["sigma"], 3 * value, rtol=1e-8)
    assert abs(slope["epsilon"]) < 1e-9
    ahead, behind = (volume({**PARAMS, "gamma": 1.2 + h}) for h in (1e-4, -1e-4))
    np.testing.assert_allclose(slope["gamma"], (ahead - behind) / 2e-4, rtol=1e-6)


def test_a_surface_costs_its_broken_bonds():
    # Three double layers in a hexagonal cell, and the same with the lowest atom on top, where it has
    # three bonds, below empty space.
    whole = diamond111("Si", (1, 1, 6), a=A0, periodic=True)
    whole.cell[2] = [0.0, 0.0, A0 * np.sqrt(3)]
    slab = whole.copy()
    slab.positions[np.argmin(slab.positions[:, 2])] += slab.cell[2]
    slab.cell[2, 2] += 10.0
    slab, whole = ms.read(slab), ms.read(whole)
    found = ms.surface_energy(POTENTIAL, PARAMS, slab, whole, bulk_cell="fixed")
    np.testing.assert_allclose(found, 0.5 * BOND / (np.sqrt(3) / 4 * A0**2), rtol=1e-8)


def test_what_does_not_fit():
    other = VACANCY.with_cell(1.05 * np.asarray(SITES.cell))
    with pytest.raises(InputError, match="no multiple of the bulk's"):
        ms.formation(POTENTIAL, PARAMS, other, BULK)
    alloy = mixed(SITES, ("Si", "C"))
    with pytest.raises(InputError, match="chemical_potentials: C is missing"):
        ms.formation(POTENTIAL, PARAMS, alloy, BULK, fmax=1.0)
