"""Phonons against phonopy's finite displacements, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import mdsens as ms
from mdsens.io.calculator import Calculator
from mdsens.potentials import StillingerWeber
from tests.potentials.crystals import SW_SILICON

Q = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.0], [0.1, 0.2, 0.3]]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_frequencies_of_silicon():
    phonopy = pytest.importorskip("phonopy")
    from phonopy.structure.atoms import PhonopyAtoms

    atoms, potential = bulk("Si", "diamond", a=5.43094978), StillingerWeber()
    system = ms.read(atoms)
    params = potential.parameters(system, **SW_SILICON)
    ours = np.asarray(ms.phonon_frequencies(potential, params, system, np.array(Q)))
    calculator = Calculator(potential, params)

    def forces(cell) -> np.ndarray:
        found = Atoms(cell.symbols, cell=cell.cell, positions=cell.positions, pbc=True)
        found.calc = calculator
        return found.get_forces()

    def squared(distance: float) -> np.ndarray:
        unit = PhonopyAtoms(
            atoms.get_chemical_symbols(), cell=atoms.cell[:], positions=atoms.positions,
            masses=atoms.get_masses(),
        )  # fmt: skip
        # Silicon's forces end at second neighbours: four cells hold them without overlap.
        it = phonopy.Phonopy(unit, supercell_matrix=4 * np.eye(3), primitive_matrix=np.eye(3))
        it.generate_displacements(distance=distance, is_plusminus=True)
        it.forces = [forces(cell) for cell in it.supercells_with_displacements]
        it.produce_force_constants()
        return np.array([it.get_frequencies(q) for q in Q]) ** 2

    # Of displacements by d frequencies are off by d^2.
    theirs = np.sqrt(np.abs(4.0 * squared(0.0025) - squared(0.005)) / 3.0)
    np.testing.assert_allclose(ours[1:], theirs[1:], rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours[0, 3:], theirs[0, 3:], rtol=0, atol=1e-5)
