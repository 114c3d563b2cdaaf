"""Silicon: numbers that two other programs agree on, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.constants import e as ELEMENTARY_CHARGE

import mdsens as ms
from tests.examples import make
from tests.potentials.crystals import SW_SILICON, TERSOFF_SILICON, cubic, primitive

GPA = ELEMENTARY_CHARGE * 1e21  # of one eV/angstrom^3
TENSORS = ["elastic_tensor", "elastic_tensor_clamped"]


def constants(relaxed, clamped) -> np.ndarray:
    """C11, C12, C44 clamped, C44 relaxed in GPa."""
    c, frozen = np.asarray(relaxed) * GPA, np.asarray(clamped) * GPA
    return np.array([c[0, 0], c[0, 1], frozen[3, 3], c[3, 3]])


@pytest.fixture(scope="module")
def silicon():
    system, potential = primitive(5.40), ms.potentials.StillingerWeber()
    return ms.sensitivity(
        potential,
        potential.parameters(system, **SW_SILICON),
        system,
        observables=["energy", "cell", *TENSORS],
        wrt=["lambda", "A", "epsilon", "sigma"],
        cell="isotropic",
    )


def test_stillinger_weber_crystal(silicon):
    found = silicon.observables
    np.testing.assert_allclose(found["energy"] / 2, -4.3365999999, rtol=1e-9)
    np.testing.assert_allclose(2 * found["cell"][0, 1], 5.43094978, rtol=1e-9)
    expected = [151.42449, 76.42209, 109.75649, 56.44934]
    np.testing.assert_allclose(constants(*(found[t] for t in TENSORS)), expected, rtol=1e-7)


def test_derivatives_of_elastic_constants_with_the_cell_relaxed(silicon):
    def by(name: str) -> np.ndarray:
        return constants(*(silicon.sensitivity[t][name].value for t in TENSORS))

    found = constants(*(silicon.observables[t] for t in TENSORS))
    np.testing.assert_allclose(by("lambda"), [2.381028, -1.190514, 0.396838, 2.023128], rtol=1e-6)
    np.testing.assert_allclose(by("A"), [14.387130, 14.387130, 14.387130, 1.980787], rtol=1e-6)
    np.testing.assert_allclose(SW_SILICON["epsilon"] * by("epsilon"), found, rtol=1e-12)
    np.testing.assert_allclose(SW_SILICON["sigma"] * by("sigma"), -3 * found, rtol=1e-12)


def test_a_larger_cell_is_the_same_crystal(silicon):
    system, potential = cubic(5.43094978), ms.potentials.StillingerWeber()
    params = potential.parameters(system, **SW_SILICON)
    state = ms.relax(potential, params, system, cell="full")
    found = [getattr(ms, t)(potential, params, state) for t in TENSORS]
    expected = constants(*(silicon.observables[t] for t in TENSORS))
    np.testing.assert_allclose(constants(*found), expected, rtol=1e-10)


def test_no_parameter_moves_an_ideal_vacancy():
    # Its neighbours stay where they are by symmetry: an exact stationary point.
    ideal = cubic(5.43094978, 2)
    system = make(ideal.positions[1:], ideal.cell, ideal.pbc, ["Si"] * 63, units="metal")
    potential = ms.potentials.StillingerWeber()
    names = ["epsilon", "lambda", "gamma", "A"]
    result = ms.sensitivity(
        potential,
        potential.parameters(system, **SW_SILICON),
        system,
        observables=["energy"],
        wrt=names,
        positions=True,
        fmax=1e-6,
    )
    assert result.certificate.negative_modes == 0
    for name in names:
        moves = result.sensitivity["positions"][name].value
        assert np.abs(moves).max() * SW_SILICON[name] < 1e-6


@pytest.mark.slow
def test_tersoff_crystal():
    system, potential = primitive(5.40), ms.potentials.Tersoff()
    params = potential.parameters(system, **TERSOFF_SILICON)
    state = ms.relax(potential, params, system, cell="isotropic")
    np.testing.assert_allclose(2 * state.cell[0, 1], 5.43200520, rtol=1e-8)
    np.testing.assert_allclose(ms.energy(potential, params, state) / 2, -4.6295950127, rtol=1e-9)
    found = constants(*(getattr(ms, t)(potential, params, state) for t in TENSORS))
    np.testing.assert_allclose(found, [142.53700, 75.37588, 118.81414, 69.02544], rtol=1e-7)
