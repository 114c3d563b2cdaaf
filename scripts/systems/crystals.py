"""The crystals under systems/: silicon and copper with defects, amorphous silicon. See make.py."""

from __future__ import annotations

import numpy as np
from ase.build import bulk
from melt import melt_and_quench
from saving import save
from scipy.spatial import KDTree

import mdsens as ms
from mdsens.equilibrium import search
from mdsens.io.structures import from_atoms
from mdsens.neighbors import pair_list, surroundings, tabulated
from mdsens.system import System

# Silicon: Stillinger, Weber, doi:10.1103/PhysRevB.31.5262; epsilon by Balamane, Halicioglu, Tiller,
# doi:10.1103/PhysRevB.46.2250, for the measured cohesive energy. Its lattice constant and its shear
# moduli C44 and (C11 - C12) / 2 in GPa.
SILICON = {
    "epsilon": 2.1683, "sigma": 2.0951, "a": 1.80, "lambda": 21.0, "gamma": 1.20,
    "costheta0": -1.0 / 3.0, "A": 7.049556277, "B": 0.6022245584, "p": 4.0, "q": 0.0,
}  # fmt: skip
A_SILICON, SHEAR_SILICON = 5.43094978, (56.44934, 37.50120)
# Angstrom around the dislocation within which atoms move, and the width of what is held around them:
# two ranges of the potential, from where a force may come.
RADIUS, RIM = 50.0, 7.6
A_COPPER = 3.615
# Closer than this, in angstrom, atoms of solid silicon are neighbours.
NEIGHBORS = 2.9
SW = ms.potentials.StillingerWeber()


def silicon_bulk() -> None:
    """Two atoms, not quite at the lattice constant."""
    _silicon(from_atoms(bulk("Si", "diamond", a=5.40)), "silicon_bulk", "crystal.extxyz")


def silicon_vacancy() -> None:
    """Compressed: at the lattice constant of the crystal nothing would move."""
    atoms = bulk("Si", "diamond", a=5.40, cubic=True).repeat(2)
    del atoms[0]
    _silicon(from_atoms(atoms), "silicon_vacancy", "vacancy.extxyz")


def amorphous_silicon_64() -> None:
    _silicon(_amorphous(2, 0), "amorphous_silicon_64", "amorphous.extxyz")


def amorphous_silicon_512() -> None:
    _silicon(_amorphous(4, 0), "amorphous_silicon_512", "amorphous.extxyz")


def copper_vacancy() -> None:
    """The vacancy, and the atom next to it half-way into it."""
    whole = bulk("Cu", "fcc", a=A_COPPER, cubic=True).repeat(3)
    half = 0.5 * (whole.positions[0] + whole.positions[1])
    hop = whole.copy()
    hop.positions[1] = half
    for atoms, file in ((whole, "vacancy.extxyz"), (hop, "hop.extxyz")):
        del atoms[0]
        save(from_atoms(atoms), "copper_vacancy", file)


def dislocation() -> None:
    """A screw dislocation along z = [110] in a cylinder, x = [001], y = [1 -1 0], its core in the
    middle of a hexagon of the projection.

    The displacement is exact for a line along a twofold axis: u_z = b/2pi arg(x sqrt(C') +
    i y sqrt(C44)), with the moduli C44 of the plane xz and C' of yz.
    """
    d = A_SILICON / np.sqrt(2.0)
    period = np.array([A_SILICON, d, d])
    basis = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.5, 0.0], [0.75, 0.0, 0.5]])
    reach = int(np.ceil((RADIUS + RIM) / d)) + 1
    corners = np.stack(np.meshgrid(*2 * [np.arange(-reach, reach + 1)], indexing="ij"), -1)
    corners = np.pad(corners.reshape(-1, 1, 2), ((0, 0), (0, 0), (0, 1)))
    sites = ((corners + basis) * period).reshape(-1, 3) - _hexagon(period, basis)
    sites = sites[np.hypot(sites[:, 0], sites[:, 1]) < RADIUS + RIM]
    c44, c_prime = SHEAR_SILICON
    turn = np.arctan2(sites[:, 1] * np.sqrt(c44), sites[:, 0] * np.sqrt(c_prime)) / (2.0 * np.pi)
    sites[:, 2] += d * turn
    held = np.hypot(sites[:, 0], sites[:, 1]) > RADIUS
    n, side = len(sites), 3.0 * (RADIUS + RIM)
    cell = np.diag([side, side, d])
    system = System(
        sites, cell, (False, False, True), ("Si",) * n, tuple(map(bool, held)), units="metal"
    )
    _silicon(_relaxed(system), "dislocation", "screw.extxyz")


def _hexagon(period: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The middle of the largest hole of the lattice of columns, (3,)."""
    flat = np.vstack(
        [(basis + np.array([i, j, 0])) * period for i in range(-1, 3) for j in range(-1, 3)]
    )
    grid = np.stack(np.meshgrid(*2 * [np.arange(0, 1, 1 / 48)], indexing="ij"), -1).reshape(-1, 2)
    spots = grid * period[:2]
    distance = KDTree(flat[:, :2]).query(spots)[0]
    return np.append(spots[np.argmax(distance)], 0.0)


def _amorphous(cells: int, seed: int) -> System:
    """A melt at the crystal's density, cooled slowly where it freezes, and relaxed with its cell."""
    whole = from_atoms(bulk("Si", "diamond", a=A_SILICON, cubic=True).repeat(cells))
    params = SW.parameters(whole, **SILICON)
    schedule = [
        (3500.0, 3500.0, 4.0), (3500.0, 1700.0, 4.0), (1700.0, 900.0, 30.0), (900.0, 100.0, 4.0)
    ]  # fmt: skip
    solid = _relaxed(melt_and_quench(SW, params, whole, 28.0855, schedule, seed), cell="full")
    n, volume = solid.n_particles, abs(np.linalg.det(solid.cell))
    counts, angles = _bonds(solid)
    print(
        f"density {28.0855 * 1.66053907 * n / volume:.4f} g/cm3, energy per atom "
        f"{float(ms.energy(SW, params, solid)) / n:.4f} eV, "
        f"{', '.join(f'{c} atoms with {k} neighbours' for k, c in enumerate(counts) if c)}, "
        f"bond angles {angles.mean():.2f} +- {angles.std():.2f} degrees"
    )
    return solid


def _bonds(system: System) -> tuple[np.ndarray, np.ndarray]:
    """How many atoms have 0, 1, 2, ... neighbours, and the angles between bonds in degrees."""
    here = (system.positions, system.cell)
    around = surroundings(tabulated(pair_list(system, NEIGHBORS), *here, NEIGHBORS, 12), *here)
    present, vectors = np.asarray(around.present), np.asarray(around.vectors)
    unit = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    one, other = np.triu_indices(12, 1)
    both = present[:, one] & present[:, other]
    cosine = np.sum(unit[:, one] * unit[:, other], axis=2)[both]
    return np.bincount(present.sum(axis=1)), np.degrees(np.arccos(cosine))


def _relaxed(system: System, **options) -> System:
    found = search(SW, SW.parameters(system, **SILICON), system, fmax=1e-9, **options)
    assert not found.why, found.why
    here = system.with_positions(np.asarray(found.setting.positions))
    return here.with_cell(np.asarray(found.setting.cell))


def _silicon(system: System, name: str, file: str) -> None:
    """The structure, and the potential beside it."""
    folder = save(system, name, file)
    ms.write_parameters(SW, SW.parameters(system, **SILICON), system, folder / "Si.sw")
