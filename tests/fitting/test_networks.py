"""Fits of neural networks: the gradient alone, in reverse mode, of data and of relaxed crystals."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import InputError
from mdsens.fitting import (
    ENERGY_SHIFT,
    Free,
    Labelled,
    Labels,
    Problem,
    Wanted,
    crystal,
    fit,
    reading,
    space,
)
from mdsens.parameters import Table
from mdsens.potentials import BehlerParrinello
from tests.potentials.crystals import SW_SILICON, cubic, disordered

WEIGHTS = {"weights": Free()}
SW = ms.potentials.StillingerWeber()


def stretched(by: float, seed: int):
    system = disordered(cubic(5.431 * by), 0.15, seed)
    return system if seed else cubic(5.431 * by)


def labelled(systems, name="data") -> Labelled:
    """As Stillinger-Weber says."""
    params = SW.parameters(systems[0], **SW_SILICON)
    data = []
    for system in systems:
        atoms = ms.to_atoms(system)
        atoms.calc = ms.Calculator(SW, params)
        data.append(Labels(atoms.get_potential_energy(), atoms.get_forces()))
    return Labelled(name, systems, data, energy=0.01, forces=0.1)


@pytest.fixture(scope="module")
def few():
    return labelled([stretched(1.0, 0), disordered(cubic(5.5, 1), 0.1, 2)])


@pytest.mark.parametrize("loss", ["linear", "cauchy"])
def test_gradient_in_reverse_is_that_of_the_residuals(few, loss, monkeypatch):
    network = BehlerParrinello(("Si",), 3.5, ((1.0, 2.0), (1.0, 3.0)), ((0.05, 1.0, 1),), (3,))
    params = {
        **network.parameters(few.systems[0], data=few.systems),
        ENERGY_SHIFT: Table(np.array([1.0]), ("Si",)),
    }
    where = space(params, {**WEIGHTS, ENERGY_SHIFT: Free(prior=(0.0, 1.0))})
    u = 0.1 * np.random.default_rng(0).standard_normal(where.size)
    whole = Problem(network, where, [few], loss)(u)
    monkeypatch.setattr("mdsens.fitting.problem.MANY", 1)
    alone = Problem(network, where, [few], loss)(u)
    assert alone.jacobian is None and whole.jacobian is not None
    np.testing.assert_allclose(alone.residuals, whole.residuals, rtol=1e-12, atol=1e-12)
    size = np.abs(whole.gradient).max()
    np.testing.assert_allclose(alone.gradient, whole.gradient, rtol=1e-9, atol=1e-11 * size)
    step, h = np.random.default_rng(1).standard_normal(where.size), 1e-5
    ends = [Problem(network, where, [few], loss)(u + s * h * step).loss for s in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(alone.gradient @ step, difference, rtol=1e-6)


def test_too_many_for_a_jacobian(few):
    network = BehlerParrinello.usual(("Si",), 3.5)
    params = network.parameters(few.systems[0], data=few.systems)
    with pytest.raises(InputError, match=r"\d+ free parameters are too many for levenberg"):
        fit(network, params, [few], WEIGHTS)


@pytest.mark.slow
def test_a_network_corrects_silicon_and_its_lattice_constant():
    """On top of a potential that is wrong: energies and forces first; then with a target that is
    relaxed anew in every step."""
    systems = [stretched(by, s) for s, by in enumerate(np.tile([1.0, 0.96, 0.98, 1.02, 1.04], 12))]
    data, held = labelled(systems[:50]), labelled(systems[50:], "held")
    network = BehlerParrinello.usual(("Si",), 3.77, hidden=(12, 12))
    both = SW + network
    wrong = {**SW_SILICON, "lambda": 17.0, "A": 7.5}
    params = {
        "stillinger_weber": SW.parameters(systems[0], **wrong),
        "behler_parrinello": network.parameters(systems[0], data=systems),
    }
    free = {"behler_parrinello.weights": Free()}
    learnt = fit(
        both, params, [data], free, optimizer="lbfgs", max_iterations=300, tolerance=1e-7,
        validation=[held], patience=50,
    )  # fmt: skip
    assert learnt.space.size > 300 and learnt.posterior is None

    def rms(values):
        forces = held.kinds == 1
        return np.sqrt(np.mean((values - held.wanted)[forces] ** 2))

    values, bars = learnt.predict(held)
    assert np.isnan(bars).all()
    alone = space(params["stillinger_weber"], {"A": Free()})
    before = held.values(SW, alone, np.zeros(1))
    assert rms(values) < 0.5 * rms(before)
    system = cubic(5.431)
    wanted = [(reading("a", system), Wanted("a", 5.5, 0.002))]
    crystals = crystal("diamond", system, wanted, cell="isotropic")
    moved = fit(
        both, learnt.params, [data, crystals], free, optimizer="lbfgs", max_iterations=60,
        tolerance=1e-6,
    )  # fmt: skip
    (before,), (after,) = (x.predict(crystals)[0] for x in (learnt, moved))
    assert abs(before - 5.431) < 0.03
    assert abs(after - 5.5) < 0.01
    u, h = moved.best.u, 1e-4
    step = np.random.default_rng(0).standard_normal(len(u)) / np.sqrt(len(u))
    found = crystals.evaluate(both, moved.space, u, ())
    ends = [crystals.values(both, moved.space, u + s * h * step) for s in (1, -1)]
    np.testing.assert_allclose(found.jacobian @ step, (ends[0] - ends[1]) / (2 * h), rtol=1e-4)
