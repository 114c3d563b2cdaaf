"""Tables and ions against LAMMPS, where it is installed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.neighbors import pair_list
from mdsens.potentials import BKS, EAM
from tests.examples import make
from tests.neighbors.cells import FCC
from tests.potentials.by_lammps import Answer, by_lammps, library_file, needs_lammps
from tests.potentials.test_ionic import SILICA

pytestmark = needs_lammps


def shaken(species: tuple[str, ...], a: float, cells: int = 1):
    """fcc in a sheared cell, which is smaller than the range if it is a single one."""
    grid = np.stack(np.meshgrid(*3 * [np.arange(cells)], indexing="ij"), -1).reshape(-1, 1, 3)
    places = (grid + np.vstack([np.zeros(3), FCC])).reshape(-1, 3) / cells
    cell = a * cells * np.array([[1.0, 0, 0], [0.1, 1.05, 0], [-0.05, 0.1, 0.97]])
    rng = np.random.default_rng(3)
    x = places @ cell + 0.15 * rng.normal(size=places.shape)
    names = [species[k] for k in rng.integers(len(species), size=len(x))]
    names[: len(species)] = species
    return make(x, cell, (True,) * 3, names, units="metal")


def compare(potential, params, system, answer: Answer, rtol: float):
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.01 * float(potential.cutoff(params))))
    x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
    np.testing.assert_allclose(potential.energy(params, x, h, pairs), answer.energy, rtol=rtol)
    gradient = potential.gradient(params, x, h, pairs)
    scale = np.abs(answer.forces).max()
    np.testing.assert_allclose(-gradient, answer.forces, atol=rtol * scale)
    # dE/d(strain) = -V p on its diagonal.
    virial = jax.grad(potential.strained_energy, 4)(params, x, h, pairs, jnp.zeros((3, 3)))
    pressure = -np.trace(virial) / (3 * np.linalg.det(system.cell))
    np.testing.assert_allclose(pressure, answer.pressure, rtol=30 * rtol)


FILES = [
    ("Cu_mishin1.eam.alloy", ("Cu",), 3.6),
    ("CuNi.eam.alloy", ("Cu", "Ni"), 3.55),
    # Denser than the last rho of the table.
    ("CuNi.eam.alloy", ("Cu", "Ni"), 2.5),
    ("NiAlH_jea.eam.fs", ("Al", "H", "Ni"), 3.4),
    ("Al_mm.eam.fs", ("Al",), 4.0),
]


@pytest.mark.parametrize(("name", "species", "a"), FILES)
def test_tables(name: str, species: tuple[str, ...], a: float):
    path, system, potential = library_file(name), shaken(species, a), EAM()
    style = "eam/fs" if path.endswith(".fs") else "eam/alloy"
    params = potential.parameters(system, file=path)
    compare(potential, params, system, by_lammps(system, style, f"* * {path} {{elements}}"), 1e-9)


def test_silica():
    # LAMMPS' erfc is good to 1e-6 or so, and its constant to 3e-8.
    grid = np.array([[0.0, 0, 0], [0.25, 0.25, 0.25], [0.5, 0.5, 0], [0.75, 0.75, 0.25]])
    oxygen = np.vstack([grid + 0.125, grid + np.array([0.125, -0.125, -0.125])])
    x = 7.16 * np.vstack([grid, oxygen]) + 0.1 * np.random.default_rng(0).normal(size=(12, 3))
    system = make(x, 7.16 * np.eye(3), (True,) * 3, ["Si"] * 4 + ["O"] * 8, units="metal")
    potential = BKS(smoothing="none")
    given = {**SILICA, "cutoff": 5.5, "cutoff_coulomb": 9.0, "alpha": 0.2}
    params = potential.parameters(system, **given)
    buck = [
        f"{i} {j} buck {given['A'][k]} {given['rho'][k]!r} {given['C'][k]}"
        for (i, j), k in (((1, 1), "O-O"), ((1, 2), "O-Si"), ((2, 2), "Si-Si"))
    ]
    style = "hybrid/overlay buck 5.5 coul/dsf 0.2 9.0"
    answer = by_lammps(system, style, *buck, "* * coul/dsf", charges=given["charge"])
    compare(potential, params, system, answer, 3e-6)
