"""The calculator under ASE's own tools."""

from __future__ import annotations

import ase
import ase.build
import ase.units
import numpy as np
import pytest
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.constraints import FixAtoms, FixBondLength
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from ase.phonons import Phonons
from scipy.optimize import minimize_scalar

import mdsens as ms
from mdsens.io.structures import from_atoms
from mdsens.potentials import EAMZhou, LennardJones, SoftSphere, StillingerWeber
from tests.potentials.crystals import SW_SILICON

A0 = 5.43094978
ARGON = {"epsilon": {"Ar-Ar": 0.0103, "Ar-Kr": 0.012, "Kr-Kr": 0.014}, "sigma": 3.4, "cutoff": 6.5}


def silicon() -> ase.Atoms:
    """Two atoms off their places, in a cell smaller than the cutoff and sheared."""
    atoms = ase.build.bulk("Si", "diamond", a=A0)
    atoms.rattle(0.1, seed=1)
    stretch = np.eye(3) + 0.03 * np.random.default_rng(2).normal(size=(3, 3))
    atoms.set_cell(atoms.cell[:] @ stretch, scale_atoms=True)
    atoms.calc = ms.Calculator(StillingerWeber(), SW_SILICON)
    return atoms


def argon(calculator=None) -> ase.Atoms:
    atoms = ase.build.bulk("Ar", "fcc", a=5.3, cubic=True)
    atoms.symbols[0] = "Kr"
    atoms.rattle(0.05, seed=3)
    atoms.calc = calculator or ms.Calculator(LennardJones(smoothing="force_shift"), ARGON)
    return atoms


def test_forces_and_stress_by_differences():
    atoms = silicon()
    np.testing.assert_allclose(
        atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-6
    )
    found, want = atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5)
    assert np.abs(want).min() > 1e-4
    np.testing.assert_allclose(found, want, atol=1e-8)


@pytest.mark.slow
def test_relaxes_cell_and_positions_to_the_reference():
    atoms = silicon()
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-6, steps=200)
    np.testing.assert_allclose(atoms.cell.lengths(), A0 / np.sqrt(2), rtol=1e-7)
    assert atoms.get_potential_energy() / 2 == pytest.approx(-4.3365999999, rel=1e-9)


def test_lists_follow_and_species_too():
    """What has been moved, strained, and changed into krypton is what a new calculator finds."""
    atoms, rng = argon(), np.random.default_rng(4)
    for _ in range(4):
        atoms.positions += rng.normal(scale=0.25, size=atoms.positions.shape)
        atoms.set_cell(atoms.cell[:] * 0.99, scale_atoms=True)
        assert atoms.get_potential_energy() == pytest.approx(fresh(atoms), rel=1e-12)
    before = atoms.get_potential_energy()
    atoms.symbols[2] = "Kr"
    assert atoms.get_potential_energy() == pytest.approx(fresh(atoms), rel=1e-12)
    assert abs(atoms.get_potential_energy() - before) > 1e-3


def fresh(atoms: ase.Atoms) -> float:
    potential, system = LennardJones(smoothing="force_shift"), from_atoms(atoms)
    return float(ms.energy(potential, potential.parameters(system, **ARGON), system))


@pytest.mark.slow
def test_back_and_forth():
    """Relaxed by mdsens, out to ASE, and at rest there."""
    atoms = argon()
    potential, system = LennardJones(smoothing="force_shift"), ms.read(atoms)
    params = potential.parameters(system, **ARGON)
    minimum = ms.relax(potential, params, system)
    out = ms.to_atoms(system, minimum)
    # Parameters that are resolved already will do.
    out.calc = ms.Calculator(potential, params)
    assert np.abs(out.get_forces()).max() < 1e-10
    assert BFGS(atoms, logfile=None).run(fmax=1e-5, steps=100)
    moved = atoms.positions - out.positions
    np.testing.assert_allclose(moved - moved.mean(axis=0), 0.0, atol=1e-4)
    assert out.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-8)


@pytest.mark.slow
def test_nudged_elastic_band():
    """An atom rolls over the middle one of three; the saddle is above it by symmetry."""
    calc = ms.Calculator(LennardJones(smoothing="none"), {**ARGON, "epsilon": 0.01})
    fixed = 3.8 * np.array([[-1.0, 0, 0], [0, 0, 0], [1.0, 0, 0]])
    ends = []
    for x in (-1.9, 1.9):
        atoms = ase.Atoms("Ar4", [*fixed, [x, 3.3, 0.0]], constraint=FixAtoms([0, 1, 2]))
        atoms.calc = calc
        assert BFGS(atoms, logfile=None).run(fmax=1e-6, steps=100)
        ends.append(atoms)
    images = [ends[0], *(ends[0].copy() for _ in range(3)), ends[1]]
    for image in images:
        image.calc = calc
    band = NEB(images, climb=True, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate()
    assert FIRE(band, logfile=None).run(fmax=1e-5, steps=500)
    top = images[2].copy()
    top.calc = calc

    def above(y: float) -> float:
        top.positions[3] = [0.0, y, 0.0]
        return top.get_potential_energy()

    lowest = minimize_scalar(above, bounds=(3.5, 4.0), method="bounded", options={"xatol": 1e-6})
    assert images[2].get_potential_energy() == pytest.approx(lowest.fun, abs=1e-8)
    assert lowest.fun > ends[0].get_potential_energy() + 1e-3


@pytest.mark.slow
def test_phonons(tmp_path):
    """ASE's displaced supercells against the dynamical matrix; X fits into two cells."""
    atoms = ase.build.bulk("Si", "diamond", a=A0)
    calc = ms.Calculator(StillingerWeber(), SW_SILICON)
    phonons = Phonons(atoms, calc, supercell=(2, 2, 2), delta=1e-3, name=str(tmp_path / "si"))
    phonons.run()
    phonons.read(acoustic=True)
    q = [[0.0, 0, 0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.0]]
    with np.errstate(invalid="ignore"):
        found = phonons.band_structure(q, verbose=False) / (
            ase.units._hplanck / ase.units._e * 1e12
        )
    system = ms.read(atoms)
    params = StillingerWeber().parameters(system, **SW_SILICON)
    want = np.asarray(ms.phonon_frequencies(StillingerWeber(), params, system, q))
    np.testing.assert_allclose(found[:, 3:], want[:, 3:], rtol=1e-5)
    np.testing.assert_allclose(found[1:, :3], want[1:, :3], rtol=1e-5)


@pytest.mark.slow
def test_molecular_dynamics_conserves_energy():
    atoms = ase.build.bulk("Cu", "fcc", a=3.615, cubic=True).repeat(2)
    atoms.calc = ms.Calculator(EAMZhou(), {"cutoff": 5.5})
    rng = np.random.default_rng(5)
    atoms.set_momenta(rng.normal(size=(32, 3)) * np.sqrt(63.5 * 1200 * ase.units.kB))
    start, total, drift = atoms.positions.copy(), atoms.get_total_energy(), []
    dynamics = VelocityVerlet(atoms, timestep=1.0 * ase.units.fs)
    dynamics.attach(lambda: drift.append(atoms.get_total_energy() - total))
    dynamics.run(300)
    # Far enough for the first list to hold no more.
    assert np.linalg.norm(atoms.positions - start, axis=1).max() > 0.5 * 0.15 * 5.5
    assert np.abs(drift).max() < 2e-3 * atoms.get_kinetic_energy()


def test_two_dimensions_and_constraints():
    atoms = ase.Atoms("X3", [[0.1, 0, 0], [0.8, 0.2, 0], [0.3, 0.9, 0]], cell=[2, 2, 1])
    atoms.pbc = (True, True, False)
    atoms.set_array("diameter", np.array([0.9, 1.0, 1.1]))
    atoms.set_constraint(FixBondLength(0, 1))
    atoms.calc = ms.Calculator(SoftSphere(), {"diameter": "diameter"})
    forces = atoms.get_forces(apply_constraint=False)
    atoms.set_constraint()
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-6), atol=1e-8)
    before = atoms.get_potential_energy()
    # ASE does not look at columns: told to forget, it asks again.
    atoms.arrays["diameter"] *= 1.1
    atoms.calc.reset()
    assert atoms.get_potential_energy() > before + 1e-3
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_refuses_atoms_in_one_place():
    atoms = argon()
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(ms.InputError, match="coincide"):
        atoms.get_potential_energy()
