"""A fit of Lennard-Jones argon to a few labelled structures, as files in an empty folder."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import mdsens as ms
from tests.cli.conftest import Told, _jax_is_configured, mdsens, refused  # noqa: F401

TRUE = {"epsilon": 0.0104, "sigma": 3.4, "cutoff": 6.0}
FIT = """
[potential]
kind = "lennard_jones"
[potential.parameters]
epsilon = 0.012
sigma = 3.3
cutoff = 6.0

[free]
epsilon = {lower = 1e-3, upper = 0.1, transform = "log"}
sigma = true

[[data]]
name = "md"
file = "md.extxyz"
energy = 0.001
forces = 0.01
"""


def frames(count: int = 3) -> list[ase.Atoms]:
    """Four atoms off the sites of their lattice, with what the true parameters say."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        atoms = ase.Atoms("Ar4", scaled_positions=[[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
                          cell=5.3 * np.eye(3), pbc=True)  # fmt: skip
        atoms.rattle(0.1, rng=rng)
        atoms.calc = ms.Calculator(ms.potentials.LennardJones(), TRUE)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        found.append(atoms)
    return found


@pytest.fixture
def fit_toml(tmp_path) -> str:
    write(tmp_path / "md.extxyz", frames())
    (tmp_path / "fit.toml").write_text(FIT)
    return "fit.toml"
