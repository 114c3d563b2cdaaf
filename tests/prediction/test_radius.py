"""How far a prediction holds: contacts, soft modes, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mdsens as ms
from tests.examples import EXAMPLES, make, random_discs


def contacts(potential, params, state):
    """Pairs that touch, rattlers aside, as a set."""
    from mdsens.observables import as_configuration

    s = as_configuration(potential, params, state)
    touching = np.asarray(potential.contacts(params, s.positions, s.cell, s.neighbors))
    pairs = s.neighbors
    rows = np.column_stack([pairs.i, pairs.j, pairs.shift])[touching]
    return {tuple(row) for row in rows.tolist()}


def relaxed(potential, params, system):
    # Wrapping would rename the images: the state is used as it is.
    minimum = ms.relax(potential, params, system)
    return potential, params, replace(system, positions=np.asarray(minimum.positions))


@pytest.fixture(scope="module")
def packing():
    system = random_discs(64, 0.95, 3)
    potential = ms.potentials.SoftSphere()
    return relaxed(potential, potential.parameters(system, diameter="diameter"), system)


@pytest.fixture(scope="module")
def loose_packing():
    """With a rattler."""
    example = EXAMPLES["discs_with_rattlers"]()
    return relaxed(example.potential, example.params, example.system)


def test_contacts_change_at_the_radius_and_not_before(packing):
    potential, params, system = packing
    change = {"diameter": 0.01 * np.cos(np.arange(64.0))}
    prediction = ms.predict(potential, params, system, change, order=3)
    start = contacts(potential, params, system)
    assert prediction.event == "contacts"
    assert "opened" in prediction.limit
    for fraction, same in ((0.9, True), (0.99, True), (1.02, False)):
        t = fraction * prediction.radius
        there = ms.relax(potential, prediction.params(t), prediction.system(t))
        assert (contacts(potential, prediction.params(t), there) == start) is same


def miss(potential, prediction, t):
    """How far the minimum at t is from the prediction."""
    there = ms.relax(potential, prediction.params(t), prediction.system(t))
    return prediction.distance(np.asarray(there.positions), prediction.positions(t))


def coverage(packing, draws, seed):
    potential, params, system = packing
    rng = np.random.default_rng(seed)
    outcomes = []
    for _ in range(draws):
        change = {"diameter": 0.01 * rng.normal(size=len(system.positions))}
        prediction = ms.predict(potential, params, system, change)
        t = prediction.radius * rng.uniform(0.02, 0.999)
        outcomes.append((miss(potential, prediction, t), prediction.error(t)))
    return np.array(outcomes)


def test_stated_errors_hold(packing):
    true, stated = coverage(packing, 8, 1).T
    assert np.all(true <= stated * (1 + 1e-9) + 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["packing", "loose_packing"])
def test_stated_errors_hold_for_two_hundred_changes(which, request):
    true, stated = coverage(request.getfixturevalue(which), 200, 2).T
    assert np.all(true <= stated * (1 + 1e-9) + 1e-13)
    assert np.median(stated / np.maximum(true, 1e-15)) < 1.1
    assert np.isfinite(stated).mean() > 0.95


def test_outside_the_radius_the_error_is_seen(packing):
    potential, params, system = packing
    change = {"diameter": 0.01 * np.cos(np.arange(64.0))}
    prediction = ms.predict(potential, params, system, change)
    inside, outside = (
        prediction.error(0.5 * prediction.radius),
        prediction.error(4.0 * prediction.radius),
    )
    assert outside > 30.0 * inside


def test_a_rattler_that_grows_is_caught(loose_packing):
    """Nothing answers to its diameter until it fills the hole that it sits in."""
    potential, params, system = loose_packing
    loose = np.flatnonzero(ms.contact_network(potential, params, system).rattlers)
    change = {"diameter": np.isin(np.arange(40), loose[:1]).astype(float)}
    prediction = ms.predict(potential, params, system, change)
    assert prediction.event == "rattlers"
    assert not prediction.series.any()
    inside, outside = 0.9999 * prediction.radius, 1.0001 * prediction.radius
    assert miss(potential, prediction, inside) <= prediction.error(inside) < 1e-10
    assert miss(potential, prediction, outside) > 1e-8
    assert prediction.error(outside) == np.inf


@pytest.mark.slow
def test_a_rattler_fills_a_hexagonal_hole():
    """A triangular lattice of discs with a smaller one, off centre, in the place of disc 0."""
    lattice = 0.98 * np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    k = np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), axis=-1).reshape(-1, 2)
    first = np.arange(16) == 0
    positions = k @ lattice + np.where(first[:, None], [0.03, 0.05], 0.0)
    system = make(positions, 4 * lattice, (True, True), diameter=np.where(first, 0.8, 1.0))
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter="diameter")
    prediction = ms.predict(potential, params, system, {"diameter": 1.0 * first})
    # The neighbours, relaxed, are a regular hexagon around the lattice point.
    hole = np.linalg.norm(prediction.positions(0.0)[1])
    assert prediction.event == "rattlers"
    assert prediction.radius == pytest.approx(2.0 * hole - 1.0 - 0.8, abs=1e-6)


def buckling_chain():
    """One particle between two held ones, all on a line: stable while the bonds are stretched."""
    positions = np.array([[0.0, 0.0], [1.1, 0.0], [2.2, 0.0]])
    system = make(positions, np.eye(2), (False, False), fixed=[True, False, True])
    potential = ms.potentials.Morse(smoothing="none")
    return potential, potential.parameters(system, D0=1.0, alpha=2.0, r0=1.0, cutoff=1.5), system


def test_a_soft_mode_limits_the_radius():
    potential, params, system = buckling_chain()
    # At r0 = 1.1 the tension is gone, and with it the transverse stiffness.
    prediction = ms.predict(potential, params, system, {"r0": 1.0}, horizon=0.2)
    assert prediction.event == "soft mode"
    assert prediction.radius == pytest.approx(0.1, rel=1e-3)


@pytest.mark.slow
def test_nothing_happens_in_a_crystal():
    example = EXAMPLES["crystal_vacancy"]()
    prediction = ms.predict(
        example.potential, example.params, example.system, {"epsilon": 1e-4}, horizon=0.5
    )
    assert prediction.radius == 0.5
    assert prediction.event == "none"


@pytest.mark.slow
def test_free_cell(packing):
    potential, params, system = packing
    options = {"cell": "isotropic", "pressure": 0.05}
    sides = {}
    for fraction in (0.4, 0.2):
        prediction = ms.predict(potential, params, system, {"diameter": 1.0}, **options)
        t = fraction * prediction.radius
        there = ms.relax(potential, prediction.params(t), prediction.system(t), **options)
        sides[fraction] = [np.sqrt(np.linalg.det(h)) for h in (prediction.cell(t), there.cell)]
    far, near = (abs(predicted - relaxed) for predicted, relaxed in sides.values())
    assert far / near == pytest.approx(8.0, rel=0.3)


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({}, {}, "nothing changes"),
        ({}, {"strain": 1.0}, "one number"),
        ({}, {"strain": np.eye(2), "cell": "isotropic"}, "imposed on the cell"),
        ({"sigma": 1.0}, {}, '"sigma" is not a parameter'),
        ({"diameter": np.ones(3)}, {}, "shape"),
        ({"diameter": np.nan}, {}, "not finite"),
        ({"diameter": 1.0}, {"order": 4}, "order"),
        ({"diameter": 1.0}, {"horizon": -1.0}, "horizon"),
    ],
)
def test_bad_input(packing, change, options, sentence):
    potential, params, system = packing
    with pytest.raises(ms.InputError, match=sentence):
        ms.predict(potential, params, system, change, **options)


def test_no_prediction_from_a_saddle():
    potential, _, system = buckling_chain()
    params = potential.parameters(system, D0=1.0, alpha=2.0, r0=1.3, cutoff=2.0)
    with pytest.raises(ms.DerivativeUndefined, match="saddle"):
        ms.predict(potential, params, system, {"r0": 1.0})
