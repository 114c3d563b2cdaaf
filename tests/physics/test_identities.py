"""Physics with closed forms: scaling, symmetry, reference crystals and clusters."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

import mdsens as ms
from tests.examples import EXAMPLES, make, random_discs

# LJ fcc truncated and energy-shifted at 2.5 sigma, two independent codes.
LATTICE_CONSTANT, ENERGY_PER_ATOM = 1.549603424, -7.463262038


def lj(system, **more):
    potential = ms.potentials.LennardJones()
    values = {"epsilon": 1.0, "sigma": 1.0, "cutoff": 2.5} | more
    return potential, potential.parameters(system, **values)


@pytest.mark.parametrize("cubic", [True, False], ids=["cubic", "primitive"])
def test_fcc_lattice_constant_and_energy(cubic: bool):
    atoms = bulk("Ar", "fcc", a=1.6, cubic=cubic)
    system = make(atoms.positions, atoms.cell[:], (True,) * 3)
    potential, params = lj(system)
    mode = "isotropic" if cubic else "full"
    result = ms.sensitivity(
        potential, params, system, observables=["energy", "volume", "cell", "pressure"],
        wrt=["epsilon", "sigma"], cell=mode, fmax=1e-9,
    )  # fmt: skip
    n = system.n_particles
    volume = float(result.observables["volume"])
    assert (4.0 * volume / n) ** (1 / 3) == pytest.approx(LATTICE_CONSTANT, rel=1e-8)
    assert float(result.observables["energy"]) / n == pytest.approx(ENERGY_PER_ATOM, rel=1e-9)
    assert abs(float(result.observables["pressure"])) < 1e-9
    # The cutoff does not scale along, so d(volume)/d(sigma) is not 3 V/sigma; epsilon changes no shape.
    assert abs(result.sensitivity["volume"]["epsilon"].value) < 1e-9
    assert result.sensitivity["energy"]["epsilon"].value == pytest.approx(n * ENERGY_PER_ATOM)


def test_sigma_scaling_of_a_relaxed_cell():
    """With the cutoff tied to sigma lengths scale with it: dV/dsigma + (rc/sigma) dV/drc = 3 V."""
    atoms = bulk("Ar", "fcc", a=1.6, cubic=True)
    system = make(atoms.positions, atoms.cell[:], (True,) * 3)
    potential, params = lj(system)
    result = ms.sensitivity(
        potential, params, system, observables=["volume"], wrt=["sigma", "cutoff"],
        cell="isotropic", fmax=1e-9,
    )  # fmt: skip
    slopes = result.sensitivity["volume"]
    total = slopes["sigma"].value + 2.5 * slopes["cutoff"].value
    assert total == pytest.approx(3.0 * float(result.observables["volume"]), rel=1e-8)


def test_lj13_and_lj38_are_the_known_minima(repository):
    golden = (1 + 5**0.5) / 2
    corners = [(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    corners = [np.roll(c, k) for c in corners for k in range(3)]
    positions = 0.55 * np.vstack([np.zeros(3), corners])
    system = make(positions, np.eye(3), (False,) * 3)
    potential = ms.potentials.LennardJones(smoothing="none")
    params = potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=20.0)
    found = ms.relax(potential, params, system)
    assert float(ms.energy(potential, params, found)) == pytest.approx(-44.326801, abs=1e-6)
    system = ms.read(repository / "systems" / "lj_cluster_38" / "cluster.extxyz")
    found = ms.relax(potential, params, system)
    assert float(ms.energy(potential, params, found)) == pytest.approx(-173.928427, abs=1e-6)


def test_epsilon_scales_energies_and_moves_nothing():
    example = EXAMPLES["cluster"]()
    result = ms.sensitivity(
        example.potential, example.params, example.system, observables=["energy"],
        wrt=["epsilon", "sigma"], positions=True,
    )  # fmt: skip
    energy = float(result.observables["energy"])
    positions = result.sensitivity["positions"]
    centred = result.observables["positions"] - result.observables["positions"].mean(axis=0)
    assert result.sensitivity["energy"]["epsilon"].value == pytest.approx(energy, rel=1e-13)
    np.testing.assert_allclose(positions["epsilon"].value, 0.0, atol=1e-13)
    # Untruncated: every length is proportional to sigma.
    np.testing.assert_allclose(positions["sigma"].value, centred, atol=1e-12)


@pytest.mark.parametrize("stiffness", [1e-3, 1e3])
def test_stiffness_changes_no_shape(stiffness: float):
    start = random_discs(40, 0.92, 21)
    potential = ms.potentials.SoftSphere()

    def solved(epsilon: float):
        params = potential.parameters(start, diameter="diameter", epsilon=epsilon)
        return ms.sensitivity(
            potential, params, start, observables=["energy", "pressure"], wrt=["diameter"],
            positions=True, fmax=1e-10 * max(epsilon, 1.0),
        )  # fmt: skip

    one, other = solved(1.0), solved(stiffness)
    assert other.certificate.rattlers == one.certificate.rattlers
    for name, power in (("energy", 1), ("pressure", 1), ("positions", 0)):
        a = one.sensitivity[name]["diameter"].value
        b = other.sensitivity[name]["diameter"].value / stiffness**power
        assert np.linalg.norm(a - b) <= 1e-8 * np.linalg.norm(a)
    assert other.certificate.lambda_min == pytest.approx(
        stiffness * one.certificate.lambda_min, rel=1e-3
    )


def test_relabelling_and_rotation_change_nothing():
    example = EXAMPLES["cluster"]()
    rng = np.random.default_rng(3)
    order = rng.permutation(7)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    moved = example.system.with_positions(np.asarray(example.system.positions)[order] @ turn + 5.0)
    options = {"observables": ["energy"], "wrt": ["sigma"], "positions": True}
    one = ms.sensitivity(example.potential, example.params, example.system, **options)
    two = ms.sensitivity(example.potential, example.params, moved, **options)
    assert one.certificate.lambda_min == pytest.approx(two.certificate.lambda_min, rel=1e-6)
    np.testing.assert_allclose(
        two.sensitivity["positions"]["sigma"].value,
        one.sensitivity["positions"]["sigma"].value[order] @ turn,
        atol=1e-10,
    )


def test_harmonic_dimer_by_hand():
    """Two discs in a channel of length L, pressed from both sides: x2 - x1 stays L/2 and
    E = 2 (eps/2)(1 - L/(2 s))^2, p from dE/dL; d/d(diameter) by the chain rule."""
    length, height = 1.8, 5.0
    system = make([[0.0, 0.0], [0.9, 0.0]], np.diag([length, height]), (True, True))
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter=np.array([1.0, 1.2]))
    energy = ms.energy(potential, params, system)
    overlap = 1.0 - 0.9 / 1.1
    assert float(energy) == pytest.approx(overlap**2, rel=1e-14)
    stress = np.asarray(ms.stress(potential, params, system))
    assert stress[0, 0] == pytest.approx(
        -2.0 * overlap * (0.9 / 1.1) / (length * height), rel=1e-13
    )
    assert abs(stress[1, 1]) < 1e-16
