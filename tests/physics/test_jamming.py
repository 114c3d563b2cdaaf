"""What every packing of frictionless soft particles has in common near jamming.

Harmonic discs 1 : 1.4, N = 128, at pressures p N^2 = 164, 16, 1.6, 0.16 in units of epsilon/D^2. Bounds
are two to three standard errors of the mean of eight packings around what is known; G is what differs
most from one packing to the next (by half at 1e-3, so that its exponent is known to 0.08):
O'Hern, Silbert, Liu, Nagel 2003, doi:10.1103/PhysRevE.68.011306 (exponents, phi_J, rattlers);
Goodrich, Liu, Nagel 2012, doi:10.1103/PhysRevLett.109.095704 (what a finite packing does at p -> 0).
"""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.observables import force_distribution
from mdsens.packings import jam, packing_fraction, random_spheres
from tests.observables.test_contacts import rank

pytestmark = pytest.mark.slow

POTENTIAL = ms.potentials.SoftSphere()
N, SEEDS, PRESSURES = 128, 8, np.array([1e-2, 1e-3, 1e-4, 1e-5])
DIAMETERS = np.where(np.arange(N) % 2, 1.4, 1.0)


def decompressed(seed: int):
    """One random start brought to all pressures, from the highest down."""
    system = random_spheres(DIAMETERS, 2, 0.92, seed)
    params = POTENTIAL.parameters(system, diameter="diameter")
    for pressure in PRESSURES:
        packing = jam(POTENTIAL, params, system, pressure=pressure)
        system = packing.system
        yield params, packing


@pytest.fixture(scope="module")
def packings():
    """[seed][pressure] of (params, packing)."""
    return [list(decompressed(seed)) for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def networks(packings):
    return [[ms.contact_network(POTENTIAL, *known(*item)) for item in row] for row in packings]


def known(params, packing):
    return params, packing.system


def mean(packings, measure) -> np.ndarray:
    """By pressure, over the packings."""
    return np.mean([[measure(*item) for item in row] for row in packings], axis=0)


def slope(values: np.ndarray) -> float:
    """The exponent between the two highest pressures, where the packing is large enough."""
    return float(np.log(values[0] / values[1]) / np.log(PRESSURES[0] / PRESSURES[1]))


def test_excess_contacts(packings):
    """Z - Z_iso ~ p^(1/2), down to none at all: N_c = d (N - R) - d + 1."""
    excess = mean(packings, lambda _, packing: packing.excess)
    assert np.all(np.diff(excess) < 0.0)
    assert 0.4 < slope(excess) < 0.62
    last = [row[-1][1].excess for row in packings]
    assert min(last) == 0
    assert max(last) <= 2


def test_self_stress(packings, networks):
    """Maxwell and Calladine's count, against the rank of the equilibrium matrix; nothing is floppy."""
    for row, made in zip(networks, packings, strict=True):
        for network, (_, packing) in zip(row, made, strict=True):
            assert network.floppy_modes == 0
            states = network.contacts - rank(network)
            assert network.states_of_self_stress == states == network.excess == packing.excess + 1


def test_moduli(packings):
    """G ~ p^(1/2), K hardly changes."""
    shear = mean(packings, lambda *item: ms.shear_modulus(POTENTIAL, *known(*item)))
    bulk = mean(packings, lambda *item: ms.bulk_modulus(POTENTIAL, *known(*item)))
    assert np.all(np.diff(shear[:3]) < 0.0)
    assert 0.3 < slope(shear) < 0.7
    assert abs(slope(bulk)) < 0.15
    assert 0.85 < bulk[3] / bulk[1] < 1.0
    assert shear[3] < 0.05 * bulk[3]


def test_where_it_happens(packings):
    """phi_J is 0.842 for large packings from random starts; N = 128 spreads around it, and those that
    come from high pressure lie a little above."""
    phi = mean(packings, lambda params, packing: packing_fraction(packing.system, DIAMETERS))
    rattlers = mean(packings, lambda _, packing: len(packing.rattlers) / N)
    assert 0.838 < phi[-1] < 0.848
    assert np.all(np.diff(phi) < 0.0)
    assert 0.03 < rattlers[-1] < 0.10
    # p = K0 (phi - phi_J)/phi_J of a harmonic packing.
    bulk = mean(packings, lambda *item: ms.bulk_modulus(POTENTIAL, *known(*item)))
    expected = PRESSURES[1] / bulk[1] * phi[-1]
    assert phi[1] - phi[-1] == pytest.approx(expected, rel=0.2)


def test_contact_forces(networks):
    """Many are small, few are more than three times the mean."""
    edges = np.linspace(0.0, 6.0, 31)
    density = force_distribution([row[-1] for row in networks], edges)
    middle, width = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
    assert np.sum(density) * width == pytest.approx(1.0)
    assert np.sum(middle * density) * width == pytest.approx(1.0, abs=0.02)
    assert middle[np.argmax(density)] < 1.0
    assert 0.2 < density[0] < 0.8
    assert 0.0 < np.sum(density[middle > 3.0]) * width < 0.03
