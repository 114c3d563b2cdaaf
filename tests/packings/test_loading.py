"""Quasi-static loading: curves, events, and derivatives of curves."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.packings import jam, load, random_spheres, shear
from tests.examples import settled

POTENTIAL = ms.potentials.SoftSphere()


@pytest.fixture(scope="module")
def packing():
    system = settled(random_spheres(np.where(np.arange(32) % 2, 1.4, 1.0), 2, 0.85, 5))
    params = POTENTIAL.parameters(system, diameter="diameter")
    return params, jam(POTENTIAL, params, system, pressure=2e-2).system


@pytest.fixture(scope="module")
def sheared(packing):
    params, system = packing
    steps = np.linspace(0.0, 0.12, 25)
    return load(
        POTENTIAL, params, system, shear(2), steps,
        observables=["energy", "stress"], wrt=["diameter", "epsilon"],
    )  # fmt: skip


def test_the_cell_is_that_of_the_strain(packing, sheared):
    _, system = packing
    for gamma, result in zip(sheared.strain, sheared.results, strict=True):
        want = system.cell @ (np.eye(2) + gamma * shear(2))
        np.testing.assert_allclose(result.cell, want, rtol=1e-12, atol=1e-12)


def test_work_is_energy(packing):
    """dE/dgamma = V sigma : e (1 + gamma e)^-1 along a branch."""
    params, system = packing
    steps = np.linspace(0.0, 2e-6, 3)
    curve = load(POTENTIAL, params, system, shear(2), steps, observables=["energy", "stress"])
    energy, stress = curve.curve("energy"), curve.curve("stress")
    area = np.linalg.det(system.cell)
    slope = (energy[2] - energy[0]) / 2e-6
    assert slope == pytest.approx(area * stress[1, 0, 1], rel=1e-5)


def test_stress_is_proportional_to_epsilon(sheared):
    np.testing.assert_allclose(
        sheared.derivative("stress", "epsilon"), sheared.curve("stress"), rtol=1e-6, atol=1e-9
    )


def test_derivative_of_the_curve_against_other_parameters(packing, sheared):
    """The whole path followed again with changed diameters, up to the first event."""
    params, system = packing
    first = min(e.strain for e in sheared.events)
    k = max(1, int(np.searchsorted(sheared.strain, first)) - 1)
    steps = sheared.strain[: k + 1]
    direction = np.cos(np.arange(32.0))
    h = 1e-6
    ends = [
        load(
            POTENTIAL, {**params, "diameter": params["diameter"] + s * h * direction}, system,
            shear(2), steps, observables=["stress"],
        ).curve("stress")
        for s in (-1.0, 1.0)
    ]  # fmt: skip
    want = (ends[1] - ends[0]) / (2 * h)
    got = sheared.derivative("stress", "diameter")[: k + 1] @ direction
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_rearrangements_lower_the_energy_below_the_branch(packing, sheared):
    """A branch that ends falls onto another one, with less energy than its continuation."""
    kinds = [e.kind for e in sheared.events]
    assert "contacts" in kinds
    assert "rearrangement" in kinds
    energy = sheared.curve("energy")
    drops = [
        k
        for k in range(2, len(energy))
        if energy[k] < energy[k - 1] + 0.2 * (energy[k - 1] - energy[k - 2])
    ]
    found = [
        int(np.argmin(np.abs(sheared.strain - e.strain)))
        for e in sheared.events
        if e.kind == "rearrangement"
    ]
    assert set(found) & set(drops)


def test_a_branch_without_rearrangement_can_be_walked_back(packing, sheared):
    params, system = packing
    broken = min(e.strain for e in sheared.events if e.kind == "rearrangement")
    k = int(np.searchsorted(sheared.strain, broken)) - 1
    there = sheared.results[k].system
    gamma = sheared.strain[k]
    start = ms.System(
        positions=np.linalg.solve((np.eye(2) + gamma * shear(2)).T, there.positions.T).T,
        cell=system.cell, pbc=there.pbc, species=there.species, fixed=there.fixed,
    )  # fmt: skip
    back = ms.relax(POTENTIAL, params, start)
    loose = sheared.results[0].certificate.rattler_indices
    moved = np.delete(np.asarray(back.positions) - sheared.results[0].positions, loose, axis=0)
    assert np.abs(moved - moved.mean(axis=0)).max() < 1e-9


def test_event_strains_are_exact(packing, sheared):
    """A contact changes between the two sides of the strain that the first event names."""
    params, system = packing
    first = next(e for e in sheared.events if e.kind == "contacts")
    numbers = [
        load(
            POTENTIAL, params, system, shear(2), [first.strain * f], observables=["coordination"]
        ).curve("coordination")[-1]
        for f in (0.98, 1.02)
    ]
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize("dimension", [2, 3])
def test_shapes_of_strain(dimension):
    assert np.trace(shear(dimension)) == 0.0
    assert np.trace(shear(dimension, "pure")) == 0.0
    assert np.trace(shear(dimension, "compression")) == pytest.approx(-1.0)
    with pytest.raises(ms.InputError, match="simple, pure, compression"):
        shear(dimension, "twist")


@pytest.mark.parametrize(
    ("strain", "steps", "sentence"),
    [
        (np.zeros((2, 2)), [0.1], "not zero"),
        (np.eye(3), [0.1], "array"),
        (np.eye(2), [0.2, 0.1], "increase"),
        (np.eye(2), [-0.1], "increase"),
    ],
)
def test_refuses(packing, strain, steps, sentence):
    params, system = packing
    with pytest.raises(ms.InputError, match=sentence):
        load(POTENTIAL, params, system, strain, steps)
